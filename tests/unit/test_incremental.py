import math

import numpy as np
import pytest

from bandits import incremental, incremental_fit
from bandits.delay import WINDOW_S
from bandits.features import DIMS, NAMES
from bandits.incremental import NotAnEffectError, Own, Worth
from bandits.incremental_fit import NOBODY, Windows
from bandits.kernels.featurize import LOG_ODDS_CENTRE
from bandits.policies.incremental_draw import GainTerms, draw_gain
from bandits.policies.scores import NotFiniteError

NOW_S = 1_710_000_000.0
WORTH = Worth(np.full(4, 1.6), np.full(4, 0.6))
TERMS = GainTerms(floor=0.02, exploration=0.5, gate_floor=0.01, attention_price=0.05)


def rows(count: int, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    phi = np.zeros((count, DIMS), np.float32)
    phi[:, NAMES.index("bias")] = 1.0
    phi[:, NAMES.index("lp")] = draw.normal(1.0, 1.5, count)
    phi[:, NAMES.index("interest")] = draw.random(count) * (draw.random(count) < 0.5)
    return phi


def chance_of(phi: np.ndarray, is_sent: np.ndarray) -> np.ndarray:
    """A push moves those who have looked, and nobody else."""
    eta = -3.0 + 1.1 * phi[:, NAMES.index("lp")] + is_sent * 3.0 * phi[:, NAMES.index("interest")]
    return 1.0 / (1.0 + np.exp(-eta))


def town(count: int, youngest_s: float, seed: int = 1) -> Windows:
    """Purchases come evenly over the window; of those that began lately some are not known yet."""
    draw = np.random.default_rng(seed)
    phi, is_sent = rows(count, seed), (draw.random(count) < 0.4).astype(float)
    began_at_s = NOW_S - youngest_s - draw.random(count) * 20 * 86400.0
    age_s = draw.random(count) * WINDOW_S
    is_bought = (draw.random(count) < chance_of(phi, is_sent)) & (began_at_s + age_s <= NOW_S)
    return Windows(phi, np.arange(count) % 500, began_at_s, is_sent, is_bought.astype(float), age_s * is_bought)


def belief(learned: incremental_fit.Learned) -> incremental.Known:
    return incremental.known(learned.effect)


def own_of(learned: incremental_fit.Learned, person: int) -> Own:
    return Own(learned.own.mean[[person]], learned.own.variance[[person]])


def test_the_effect_is_found_apart_from_the_habit() -> None:
    effect = incremental_fit.learn(town(20_000, WINDOW_S), 0, incremental_fit.unknown(500), NOW_S)
    phi = rows(400, seed=9)
    gain = incremental.gain(belief(effect), own_of(effect, 0), phi, Worth(np.ones(400), np.zeros(400)))
    truth = chance_of(phi, np.ones(400)) - chance_of(phi, np.zeros(400))
    assert np.abs(gain.value - truth).mean() < 0.03
    assert np.corrcoef(gain.value, truth)[0, 1] > 0.97


def column(phi: np.ndarray, name: str) -> np.ndarray:
    return incremental.effect_columns(phi)[:, list(incremental._EFFECT).index(name)]


def test_a_look_or_two_may_be_an_accident() -> None:
    """Of 0 to 5 looks just now, each of which the product counts as a fifth."""
    phi, looks = rows(6), 0.2 * np.arange(6)
    phi[:, NAMES.index("interest")] = looks / (1.0 + looks)
    wanted = column(phi, "wanted")
    assert wanted[:3].tolist() == [0.0, 0.0, 0.0]
    assert 0.3 < wanted[3] < 0.5
    assert wanted[4:] == pytest.approx([1.0, 1.0], abs=1e-6)
    phi[:, NAMES.index("lp")] = 1.5
    assert column(phi, "habit") == pytest.approx(1.5 * (1.0 - wanted))


def test_a_push_about_what_is_wanted_is_one_more_cause_of_a_purchase() -> None:
    """With weight 1 on `room`, its own constant and -ln(1 - q), the log-odds are those of 1 - (1 - P)(1 - q)."""
    phi, q = rows(50), math.exp(incremental.LOG_PERSUADED)
    phi[:, NAMES.index("interest")] = 0.6
    log_odds = LOG_ODDS_CENTRE + phi[:, NAMES.index("lp")].astype(np.float64)
    constant = math.log1p(q * math.exp(-LOG_ODDS_CENTRE)) - math.log1p(-q)
    organic = incremental.chance_of(log_odds)
    sent = incremental.chance_of(log_odds + column(phi, "room") + constant)
    assert sent == pytest.approx(1.0 - (1.0 - organic) * (1.0 - q), abs=1e-6)


def test_the_less_what_is_wanted_is_bought_the_more_a_push_adds() -> None:
    """A town in which a push makes three in ten of those buy who want the thing and would not have: found for all habits."""
    draw, count = np.random.default_rng(4), 20_000
    windows = town(count, WINDOW_S)
    wants = windows.phi[:, NAMES.index("interest")] > 0.5
    windows.phi[:, NAMES.index("interest")] = np.where(wants, 0.6, 0.0)
    organic = chance_of(windows.phi, np.zeros(count))
    is_bought = draw.random(count) < 1.0 - (1.0 - organic) * (1.0 - 0.3 * windows.is_sent * wants)
    windows = windows._replace(is_bought=is_bought.astype(float), age_s=windows.age_s * 0.0 + 3600.0 * is_bought)
    learned = incremental_fit.learn(windows, 0, incremental_fit.unknown(500), NOW_S)
    phi = rows(5)
    phi[:, NAMES.index("lp")], phi[:, NAMES.index("interest")] = (-1.0, 0.0, 1.0, 2.0, 3.0), 0.6
    gain = incremental.gain(belief(learned), own_of(learned, 0), phi, Worth(np.ones(5), np.zeros(5)))
    assert gain.value == pytest.approx(0.3 * (1.0 - chance_of(phi, np.zeros(5))), abs=0.04)
    assert (np.diff(gain.value[1:]) < 0.0).all()


def test_young_windows_do_not_drag_it_down() -> None:
    """Half of what was sent in the last three days has not been answered yet."""
    ripe, young = (
        incremental_fit.learn(town(20_000, age), 0, incremental_fit.unknown(500), NOW_S) for age in (WINDOW_S, 0.0)
    )
    phi = rows(400, seed=9)
    values = [
        incremental.gain(belief(one), own_of(one, 0), phi, Worth(np.ones(400), np.zeros(400))).value
        for one in (ripe, young)
    ]
    assert abs(float((values[1] - values[0]).mean())) < 0.01


def test_order_does_not_matter() -> None:
    windows = town(2_000, 0.0)
    order = np.random.default_rng(5).permutation(2_000)
    shuffled = Windows(*(column[order] for column in windows))
    one, other = (incremental_fit.learn(given, 3, incremental_fit.unknown(500), NOW_S) for given in (windows, shuffled))
    assert other.effect.mean == pytest.approx(one.effect.mean, abs=1e-6)
    assert other.effect.covariance == pytest.approx(one.effect.covariance, rel=1e-6, abs=1e-9)


def test_the_deviation_is_that_of_the_delta_method() -> None:
    phi, effect = rows(4, seed=3), incremental.UNKNOWN
    own, step = Own(np.array([0.3]), np.array([0.7])), 1e-6
    gain = incremental.gain(incremental.known(effect), own, phi, WORTH, scale=0.5)
    slopes = []
    for column in range(incremental.WIDTH):
        mean = effect.mean.copy()
        mean[column] += step
        moved = incremental.gain(incremental.known(effect._replace(mean=mean)), own, phi, WORTH)
        slopes.append((moved.value - gain.value) / step)
    moved = incremental.gain(incremental.known(effect), own._replace(mean=own.mean + step), phi, WORTH)
    gradient = np.array(slopes)
    variance = np.einsum("ko,kl,lo->o", gradient, effect.covariance, gradient)
    variance += np.square((moved.value - gain.value) / step) * 0.7
    assert gain.deviation == pytest.approx(0.5 * np.sqrt(variance), rel=1e-3)


def test_an_own_part_may_hold_for_some_offers_only() -> None:
    phi, known = rows(4, seed=3), incremental.known(incremental.UNKNOWN)
    alone = incremental.gain(known, Own(np.zeros(1), np.ones(1)), phi, WORTH)
    some = incremental.gain(known, Own(np.array([2.0, 0.0, 0.0, 2.0]), np.array([0.1, 1.0, 1.0, 0.1])), phi, WORTH)
    assert (some.value == alone.value).tolist() == [False, True, True, False]
    assert (some.deviation == alone.deviation).tolist() == [False, True, True, False]


def test_windows_of_nobody_teach_the_shared_part_alone() -> None:
    windows = town(4_000, WINDOW_S)
    nobodys = windows._replace(person=np.where(windows.person < 250, windows.person, NOBODY))
    learned = incremental_fit.learn(nobodys, 0, incremental_fit.unknown(250), NOW_S)
    assert 0.3 < learned.own.variance[0] / np.median(learned.own.variance) < 3.0
    nobody = windows._replace(person=np.full(4_000, NOBODY))
    alone = incremental_fit.learn(nobody, 0, incremental_fit.unknown(0), NOW_S)
    assert alone.own.mean.shape == alone.own.variance.shape == (0,)
    assert np.isfinite(alone.effect.mean).all()


def test_an_effect_that_is_none_is_refused() -> None:
    good = incremental.UNKNOWN
    bad_mean, bad_covariance = good.mean.copy(), good.covariance.copy()
    bad_mean[3], bad_covariance[2, 2] = np.nan, -1.0
    for bad in (
        good._replace(mean=bad_mean),
        good._replace(mean=good.mean[1:]),
        good._replace(covariance=bad_covariance),
        good._replace(covariance=np.full_like(good.covariance, np.inf)),
        good._replace(own_variance=0.0),
        good._replace(redeemed_share=float("nan")),
    ):
        with pytest.raises(NotAnEffectError):
            incremental.known(bad)


def test_a_sure_thing_is_not_worth_its_discount() -> None:
    phi = rows(4)
    phi[:, NAMES.index("lp")] = (6.0, 0.0, 0.0, 0.0)
    phi[:, NAMES.index("interest")] = (0.0, 0.0, 0.9, 0.0)
    windows = town(20_000, WINDOW_S)
    redeemed = float(windows.is_sent @ windows.is_bought)
    effect = incremental_fit.learn(windows, redeemed, incremental_fit.unknown(500), NOW_S)
    drawn = [
        draw_gain(belief(effect), own_of(effect, 7), phi, WORTH, np.ones(4, np.bool_), TERMS, key) for key in range(50)
    ]
    assert all(one.pmf[2] > 0.9 for one in drawn)
    only_sure = draw_gain(
        belief(effect), own_of(effect, 7), phi, WORTH, np.array([True, False, False, False]), TERMS, 1
    )
    assert only_sure.value < -0.3
    assert only_sure.send_probability == pytest.approx(TERMS.gate_floor)


@pytest.mark.timeout(180)
def test_propensities_are_honest() -> None:
    effect, phi, mask = incremental_fit.unknown(1), rows(4, seed=11), np.array([True, True, False, True])
    drawn = [draw_gain(belief(effect), own_of(effect, 0), phi, WORTH, mask, TERMS, key) for key in range(20_000)]
    counts = np.bincount([one.chosen for one in drawn], minlength=4)
    pmf = drawn[0].pmf
    assert pmf[2] == 0.0
    assert pmf.sum() == pytest.approx(1.0)
    assert (pmf[mask] >= TERMS.floor / 3).all()
    assert np.abs(counts / 20_000 - pmf).max() < 0.015
    for chosen in np.flatnonzero(mask):
        sent = [one.is_sent for one in drawn if one.chosen == chosen]
        probability = next(one.send_probability for one in drawn if one.chosen == chosen)
        assert abs(np.mean(sent) - probability) < 4.0 * np.sqrt(probability * (1 - probability) / len(sent))


def test_what_is_no_number_is_not_drawn_by() -> None:
    phi = rows(4)
    phi[1, 0] = np.nan
    with pytest.raises(NotFiniteError):
        draw_gain(
            incremental.known(incremental.UNKNOWN),
            Own(np.zeros(1), np.ones(1)),
            phi,
            WORTH,
            np.ones(4, np.bool_),
            TERMS,
            1,
        )
