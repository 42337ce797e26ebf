"""The supervised reference: the engine's own features from the baskets alone, a fit to the outcomes of others, and nothing of the future."""

import numpy as np
import numpy.typing as npt
import pytest

from bandits import features
from bandits.population import Population
from service.demo import habits, references, scoring, supervised
from service.demo.groceries import Baskets
from service.demo.habits import Contenders
from service.demo.scoring import Pushes
from service.demo.supervised import Supervised
from service.demo.world import World
from tests.unit.demo_world import DEALS, MILK, SOAP, TEA, Shopping, baskets, seconds, world

WEEKS = 3


def lists(households: int, seed: int) -> list[Shopping]:
    """Everybody buys their own thing on most days, of three."""
    draw = np.random.default_rng(seed)
    days = [(month, day) for month in (2, 3) for day in range(1, 29)]
    return [
        (one, f"2017-{month:02d}-{day:02d}T{draw.integers(8, 20):02d}:15:00", ("milk", "soap", "tea")[one % 3])
        for one in range(households)
        for month, day in days
        if draw.random() < 0.4
    ]


def of_first(year: Baskets, households: int) -> World:
    return World(year.of_households(np.arange(households)), DEALS, WEEKS)


def at_noon(small: World) -> Pushes:
    """Everybody is pushed on Wednesday at 12:00."""
    sent = scoring.none_sent(small)
    sent.at_s[:] = small.instants_s[:WEEKS, 60]
    return sent


def test_shares_are_counted_as_the_product_counts_them() -> None:
    year = baskets(6, lists(6, 1))
    begins_s = of_first(year, 6).instants_s[:WEEKS, 0]
    shares, recent = habits.tag_shares(year, begins_s)
    for week, begin_s in enumerate(begins_s.tolist()):
        people = Population()
        for basket in np.flatnonzero(year.at_s < begin_s).tolist():
            people.bought(year.tags[basket : basket + 1].tolist(), -1, float(year.at_s[basket]))
        people.reach(len(year.tag_names))
        assert shares[week] == pytest.approx(people.tag_shares())
        assert recent[week] == pytest.approx(people.recent_shares(begin_s))


def test_contenders_are_the_likeliest_deals_with_what_became_of_them() -> None:
    small = world(
        1,
        1,
        [(0, "2017-03-06T09:00:00", "tea soap"), (0, "2017-03-08T09:00:00", "tea"), (0, "2017-03-16T09:00:00", "soap")],
    )
    moments_s = np.array([[seconds("2017-03-15T12:00:00")]])
    found = habits.contenders(small, moments_s, habits.crowd(small.baskets, DEALS, small.instants_s[:-1, 0]))
    assert found.deals[0, 0].tolist() == [TEA, SOAP, MILK]
    assert found.is_redeemed[0, 0].tolist() == [False, True, False]
    soon = found.phi[0, 0, :, features.NAMES.index("soon")]
    assert soon[0] == pytest.approx(
        0.5 ** (7 / 3 + 2 / 72)
    )  # tea was bought seven days and two hours ago, by the clock three
    assert found.phi[0, 0, :, features.NAMES.index("bias")].tolist() == [1, 1, 1]


def test_the_fit_finds_what_the_outcomes_were_drawn_by_and_leaves_idle_features_at_0() -> None:
    draw = np.random.default_rng(3)
    phi = np.zeros((400, 10, 5, features.DIMS), np.float32)
    phi[..., 0] = 1
    phi[..., 1] = draw.normal(size=phi.shape[:3])
    chance = 1 / (1 + np.exp(1 - 1.5 * phi[..., 1]))
    is_redeemed: npt.NDArray[np.bool_] = draw.random(chance.shape) < chance
    weights = supervised.fit(Contenders(phi, np.zeros(chance.shape, np.int64), is_redeemed))
    assert weights[:2] == pytest.approx([-1.0, 1.5], abs=0.08)
    assert not weights[2:].any()


def test_everybody_gets_their_own_thing_at_the_engines_moment_or_else_at_the_usual_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervised, "OTHERS_MIN", 30)
    year = baskets(90, lists(90, 2))
    small = of_first(year, 9)
    engine = at_noon(small)
    engine.at_s[4, 1] = 0
    chosen = Supervised(small, year).pushes(engine)
    assert np.array_equal(chosen.deals, np.broadcast_to(np.arange(9)[:, None] % 3, (9, WEEKS)))
    assert chosen.at_s[4, 1] == references.usual_six_hours(small).at_s[4, 1]
    chosen.at_s[4, 1] = 0
    assert np.array_equal(chosen.at_s, engine.at_s)


def test_where_nobody_is_left_outside_the_folds_teach_each_other() -> None:
    year = baskets(45, lists(45, 4))
    small = of_first(year, 45)
    chosen = Supervised(small, year).pushes(at_noon(small))
    assert np.array_equal(chosen.deals, np.broadcast_to(np.arange(45)[:, None] % 3, (45, WEEKS)))


def test_features_are_of_what_was_bought_before_the_moment() -> None:
    known = lists(6, 6)
    begins_s = of_first(baskets(6, known), 6).instants_s[:WEEKS, 0]
    crowd = habits.crowd(baskets(6, known), DEALS, begins_s)
    end_s = int(begins_s[0]) + 60 * 3600
    future = [one for one in known if seconds(one[1]) >= end_s]
    changed = [one for one in known if one not in future] + [(home, at, "soap") for home, at, _ in future]
    one, other = (
        habits.contenders(small, at_noon(small).at_s, crowd)
        for small in (of_first(baskets(6, shopping), 6) for shopping in (known, changed))
    )
    assert np.array_equal(one.phi[:, 0], other.phi[:, 0])
    assert not np.array_equal(one.phi[:, 1], other.phi[:, 1])


def test_a_household_is_judged_by_a_model_that_has_not_seen_it() -> None:
    year = baskets(40, lists(40, 5))
    small = of_first(year, 40)
    others = Contenders(
        *habits.contenders(small, at_noon(small).at_s, habits.crowd(year, DEALS, small.instants_s[:-1, 0]))
    )
    turned = others.is_redeemed.copy()
    turned[0] = ~turned[0]
    as_it_is, told_wrong = (
        supervised.out_of_fold(others._replace(is_redeemed=one)) for one in (others.is_redeemed, turned)
    )
    own_fold = np.arange(40) % supervised.FOLDS == 0
    assert np.array_equal(as_it_is[own_fold], told_wrong[own_fold])
    assert not np.array_equal(as_it_is[~own_fold], told_wrong[~own_fold])
