"""The shared posterior: the ridge regression or Laplace's over what is closed, in any parts, and unbiased while answers are under way."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit

from bandits import delay, event_time, laplace, posterior, refit, sums
from bandits.delay import BLOCK_S, CLOSED, WINDOW_S, WINDOWS_S
from bandits.epoch import AGE_MAX_S, Epoch, begin, is_due
from bandits.event_time import EPOCH_S
from bandits.laplace import NotAPosteriorError
from bandits.prior import Prior
from bandits.refit import Passes
from bandits.step import WHOLE_UP_TO, Ranges
from bandits.sums import Ledger, Row, Rows, Sums
from schema.snapshot import Link
from tests.reference import learning as reference

F64 = NDArray[np.float64]
DIMS = 5
NOW_S = 1_780_000_000.0
HOUR_S = 3600.0
UNIT = Ranges(np.full(DIMS, -1.0), np.full(DIMS, 1.0))
ONE = Ranges(np.zeros(1), np.ones(1))

quick = settings(max_examples=50, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def prior(rng: np.random.Generator) -> Prior:
    return Prior(rng.normal(0.0, 0.1, DIMS), rng.uniform(1.0, 50.0, DIMS), 0.1)


def closed_rows(rng: np.random.Generator, count: int) -> Rows:
    """Up to a year old, every window over."""
    return Rows(
        rng.uniform(-1.0, 1.0, (count, DIMS)).astype(np.float32),
        NOW_S - rng.uniform(130 * HOUR_S, 365 * 24 * HOUR_S, count),
        np.zeros(count, np.float32),
        np.ones(count),
        (rng.random((count, 2)) < 0.3).astype(float),
        np.full((count, 2), 2 * HOUR_S),
    )


def passes_of(rows: Rows, size: int) -> Passes:
    def passes() -> Iterator[Rows]:
        for at in range(0, len(rows.phi), size):
            yield Rows(*(part[at : at + size] for part in rows))

    return passes


@quick
@given(seeds, st.integers(0, 60))
def test_the_identity_link_gives_the_ridge_regression(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    rows = closed_rows(rng, count)
    priors = [prior(rng), prior(rng)]
    counted = sums.count(rows, begin(priors, "identity"))
    for head, found in enumerate(posterior.compose({CLOSED: counted}, priors, UNIT, begin(priors, "identity"), NOW_S)):
        reward = rows.answered[:, head]
        mean, covariance = reference.ridge(rows.phi.astype(float), reward, rows.exposed_at_s, NOW_S, priors[head])
        np.testing.assert_allclose(found.mean, mean, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(found.covariance, covariance, rtol=1e-8, atol=1e-12)
        weight = 0.5 ** ((NOW_S - rows.exposed_at_s) / event_time.HALF_LIFE_S)
        assert found.exposures == pytest.approx(weight.sum())


@quick
@given(seeds, st.integers(0, 300), st.sampled_from(["identity", "logit"]))
def test_at_the_mode_of_an_epoch_the_sums_give_that_mode_and_its_precision(seed: int, count: int, link: Link) -> None:
    """A posterior composed at the mode stays there: between epochs nothing is lost."""
    rng = np.random.default_rng(seed)
    rows = closed_rows(rng, count)._replace(offset=rng.normal(0.0, 0.5, count).astype(np.float32))
    priors = [prior(rng), prior(rng)]
    before = begin(priors, link)
    fitted = refit.refit(passes_of(rows, 64), priors, before, before.modes, before.tellings, NOW_S)
    assert fitted.epoch.number == 1
    at_the_mode = fitted.epoch._replace(dispersions=before.dispersions)
    counted = {CLOSED: sums.count(rows, at_the_mode)}
    for head, found in enumerate(posterior.compose(counted, priors, UNIT, at_the_mode, NOW_S)):
        blocks = refit.blocks_of(passes_of(rows, 64), head, before.tellings[head], NOW_S)
        point = laplace.evaluate(blocks, priors[head], link, fitted.epoch.modes[head])
        deviation = np.sqrt(np.diag(found.covariance))
        np.testing.assert_allclose(found.mean / deviation, fitted.epoch.modes[head] / deviation, atol=2e-3)
        np.testing.assert_allclose(found.covariance @ point.hessian, np.eye(DIMS), atol=1e-6)


@quick
@given(seeds, st.integers(1, 200))
def test_the_order_and_the_parts_of_the_log_do_not_matter_to_an_epoch(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    rows = closed_rows(rng, count)
    priors = [prior(rng), prior(rng)]
    before, order = begin(priors, "logit"), rng.permutation(count)
    shuffled = Rows(*(part[order] for part in rows))
    one, other = (
        refit.refit(passes_of(told, size), priors, before, before.modes, before.tellings, NOW_S).epoch
        for told, size in ((rows, 1_000), (shuffled, 7))
    )
    np.testing.assert_allclose(one.modes, other.modes, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(one.dispersions, other.dispersions, rtol=1e-9)


def test_a_refit_starts_where_it_is_better_and_never_ends_worse() -> None:
    rng = np.random.default_rng(7)
    rows = closed_rows(rng, 500)
    priors = [prior(rng), prior(rng)]
    before = begin(priors, "logit")
    found = [
        refit.refit(passes_of(rows, 100), priors, before, starts, before.tellings, NOW_S)
        for starts in (before.modes, before.modes + 50.0, np.full_like(before.modes, np.nan))
    ]
    for one in found:
        np.testing.assert_allclose(one.epoch.modes, found[0].epoch.modes, atol=1e-3)
    again = refit.refit(passes_of(rows, 100), priors, found[0].epoch, found[0].epoch.modes, before.tellings, NOW_S)
    assert again.steps == (0, 0)
    np.testing.assert_array_equal(again.epoch.modes, found[0].epoch.modes)


def objectives(rows: Rows, priors: list[Prior], head: int, *weights: F64) -> list[float]:
    """The true objective over the rows at each of these weights."""
    blocks = refit.blocks_of(passes_of(rows, 64), head, delay.unknown(WINDOWS_S[head]), NOW_S)
    return [laplace.evaluate(blocks, priors[head], "logit", w).objective for w in weights]


@quick
@given(seeds, st.integers(0, 200), st.integers(1, 2_000), st.floats(0.0, 6.0))
def test_what_is_published_between_refits_is_never_worse_than_the_epoch(
    seed: int, fitted_rows: int, count: int, shift: float
) -> None:
    """An epoch fitted to some rows, and then others of a world that has changed; whatever the sums say is true of the rows."""
    rng = np.random.default_rng(seed)
    priors = [prior(rng), prior(rng)]
    before, known = begin(priors, "logit"), closed_rows(rng, fitted_rows)
    epoch = refit.refit(passes_of(known, 64), priors, before, before.modes, before.tellings, NOW_S).epoch
    news = closed_rows(rng, count)._replace(offset=rng.normal(0.0, 1.0, count).astype(np.float32))
    eta = shift * (news.phi @ rng.normal(size=DIMS) + rng.normal())
    news = news._replace(answered=(rng.random((count, 2)) < expit(eta)[:, None]).astype(float))
    everything = Rows(*(np.concatenate(parts) for parts in zip(known, news, strict=True)))
    counted = {CLOSED: sums.count(everything, epoch)}
    for head, found in enumerate(posterior.compose(counted, priors, UNIT, epoch, NOW_S)):
        mode, taken = epoch.modes[head], found.mean - epoch.modes[head]
        at_mode, published = objectives(everything, priors, head, mode, found.mean)
        assert published <= at_mode + 1e-9 * abs(at_mode)
        assert np.abs(everything.phi @ taken).max() <= max(WHOLE_UP_TO, np.log1p(found.reach)) + 1e-6


def test_a_sudden_change_is_followed_most_of_the_way_and_is_a_reason_to_refit() -> None:
    """1,000 rows at 3 %, then 240 at 80 %, too few to be due for their number: a whole step would overshoot and be worse than none."""
    rng, bias = np.random.default_rng(0), np.zeros(DIMS)
    bias[0] = 1.0

    def told(count: int, rate: float) -> Rows:
        answered = (rng.random((count, 2)) < rate).astype(float)
        phi = np.tile(bias.astype(np.float32), (count, 1))
        return closed_rows(rng, count)._replace(phi=phi, answered=answered)

    weak = [Prior(np.zeros(DIMS), np.ones(DIMS))] * 2
    before, known, news = begin(weak, "logit"), told(1_000, 0.03), told(240, 0.8)
    epoch = refit.refit(passes_of(known, 500), weak, before, before.modes, before.tellings, NOW_S).epoch
    everything = Rows(*(np.concatenate(parts) for parts in zip(known, news, strict=True)))
    counted = {CLOSED: sums.count(everything, epoch)}
    bounds = Ranges(bias, bias)
    found = posterior.compose(counted, weak, bounds, epoch, NOW_S)
    for head, one in enumerate(found):
        mode = epoch.modes[head]
        best = refit.refit(passes_of(everything, 500), weak, epoch, epoch.modes, epoch.tellings, NOW_S).epoch.modes[
            head
        ]
        whole = mode + (one.mean - mode) * one.reach / WHOLE_UP_TO
        at_mode, published, at_best, overshot = objectives(everything, weak, head, mode, one.mean, best, whole)
        assert overshot > at_mode
        assert at_mode - published > 0.8 * (at_mode - at_best)
    now, fitted = (
        posterior.extent(counted, epoch, NOW_S),
        posterior.extent({CLOSED: sums.count(known, epoch)}, epoch, NOW_S),
    )
    assert not is_due(now, fitted, WHOLE_UP_TO, 0.0)
    assert is_due(now, fitted, posterior.reach(found), 0.0)
    assert is_due(now, fitted, 0.0, AGE_MAX_S)
    assert not is_due(now, now, 0.0, AGE_MAX_S)
    assert not is_due(now, now, posterior.reach(found), 0.0)  # fitted, and nothing new


def one_row(sums_of: Epoch) -> Sums:
    return sums.count(closed_rows(np.random.default_rng(1), 1), sums_of)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e12])
@pytest.mark.parametrize("link", ["identity", "logit"])
def test_sums_that_give_no_posterior_are_refused(value: float, link: Link) -> None:
    priors = [prior(np.random.default_rng(0))] * 2
    epoch = begin(priors, link)
    for name in ("outer", "expected", "response"):
        if name == "outer" or not np.isfinite(value):
            counted = one_row(epoch)
            getattr(counted, name)[0, 0] = value
            with pytest.raises(NotAPosteriorError, match="head open"):
                posterior.compose({CLOSED: counted}, priors, UNIT, epoch, NOW_S)


def test_cohorts_are_hours_then_blocks_of_six_and_end() -> None:
    block_s = EPOCH_S + 3 * 6 * HOUR_S
    young = delay.cohort_at(block_s, block_s)
    assert delay.cohort_at(block_s + HOUR_S - 1, block_s + HOUR_S) == young
    assert delay.cohort_at(block_s + HOUR_S, block_s + HOUR_S) == young + 1
    assert delay.span_s(young) == (block_s, block_s + HOUR_S)
    older_s, closed_s = block_s + 12 * HOUR_S, block_s + 126 * HOUR_S
    assert delay.settled(young, older_s - 1) == young
    block = delay.settled(young, older_s)
    assert delay.settled(young + 5, older_s) == delay.settled(block, closed_s - 1) == block
    assert delay.settled(young + 6, older_s) == young + 6
    assert delay.span_s(block) == (block_s, block_s + BLOCK_S)
    assert delay.settled(young, closed_s) == delay.settled(block, closed_s) == delay.settled(CLOSED, 0.0) == CLOSED


def test_the_mean_instant_of_a_cohort_is_kept_in_its_sums() -> None:
    """Whatever is counted and taken back, whether by the hour or by the block; rounding leaves no instant outside of it."""
    rng, priors = np.random.default_rng(4), [prior(np.random.default_rng(0))] * 2
    block_s = EPOCH_S + 1_000 * BLOCK_S
    at_s = block_s + np.sort(rng.uniform(0.0, BLOCK_S, 40))
    rows = closed_rows(rng, 40)._replace(exposed_at_s=at_s)
    counted = sums.count(rows, begin(priors, "logit"))
    block = delay.settled(delay.cohort_at(block_s, block_s), block_s + 13 * HOUR_S)
    weight, _, since = counted.totals
    assert delay.mean_exposed_s(block, weight, since) == pytest.approx(at_s.mean(), abs=10.0)
    first = Rows(*(part[:10] for part in rows))
    counted.add(sums.count(sums.taken_back(first), begin(priors, "logit")))
    weight, _, since = counted.totals
    assert delay.mean_exposed_s(block, weight, since) == pytest.approx(at_s[10:].mean(), abs=10.0)
    assert delay.mean_exposed_s(block, 1e-12, -5.0) == block_s
    assert delay.mean_exposed_s(block, 1e-12, 5.0) == block_s + BLOCK_S
    assert delay.mean_exposed_s(block, 0.0, 0.0) == block_s + BLOCK_S / 2


def test_the_extent_counts_exposures_as_far_as_they_could_be_answered() -> None:
    priors = [prior(np.random.default_rng(0))] * 2
    epoch = begin(priors, "identity")
    at_s = NOW_S - 30 * HOUR_S
    cohort = delay.cohort_at(at_s, NOW_S)
    young = sums.count(closed_rows(np.random.default_rng(2), 8)._replace(exposed_at_s=np.full(8, at_s)), epoch)
    closed = sums.count(closed_rows(np.random.default_rng(3), 40), epoch)
    told = posterior.extent({cohort: young, CLOSED: closed}, epoch, NOW_S)
    share = 30 / 72
    assert told.exposures == 48
    assert told.matured == pytest.approx(40 + 8 * share)
    assert 40 < told.matured < 48
    assert told.answers == pytest.approx(young.answers.sum() + closed.answers.sum())


def late_world(rng: np.random.Generator, age_hours: int, truth: float, count: int) -> tuple[Rows, Rows, float]:
    """Six hours of exposures of that mean age whose answers take up to 72 h, evenly; and closed rows without features, which tell how long they take."""
    begin_s = NOW_S // BLOCK_S * BLOCK_S
    now_s = begin_s + 0.5 * BLOCK_S + age_hours * HOUR_S
    exposed_s = begin_s + rng.uniform(0.0, BLOCK_S, count)
    delays_s = np.where(rng.random(count) < truth, rng.uniform(0.0, WINDOW_S, count), np.inf)
    came = (exposed_s + delays_s <= now_s).astype(float)
    ages = np.stack([np.zeros(count), np.where(came, delays_s, 0.0)], axis=1)
    answered = np.stack([np.zeros(count), came], axis=1)
    zero = np.zeros(count, np.float32)
    young = Rows(np.ones((count, 1), np.float32), exposed_s, zero, np.ones(count), answered, ages)
    old_ages = np.stack([np.zeros(3_000), rng.uniform(0.0, WINDOW_S, 3_000)], axis=1)
    told = [
        Row(np.zeros(1, np.float32), now_s - 150 * HOUR_S, 0.0, 1.0, (0.0, 1.0), tuple(ages_of)) for ages_of in old_ages
    ]
    return young, sums.stack(told), now_s


def by_cohort(rows: Rows, epoch: Epoch, now_s: float) -> dict[int, Sums]:
    cohorts, place = np.unique(delay.cohorts_at(rows.exposed_at_s, now_s), return_inverse=True)
    ledger = Ledger(len(cohorts), rows.phi.shape[1], epoch).add(rows, place.astype(np.int64))
    return {int(cohort): ledger.sums(group) for group, cohort in enumerate(cohorts)}


@pytest.mark.parametrize("age_hours", [3, 9, 15, 27, 39, 51, 63, 75])
@pytest.mark.parametrize("link", ["identity", "logit"])
def test_the_delay_rule_is_unbiased_at_every_age(age_hours: int, link: Link) -> None:
    """The truth is 0.3 whatever the age; without the rule it would seem to be 0.3 F(age)."""
    count, truth = 4_000, 0.3
    young, closed, now_s = late_world(np.random.default_rng(age_hours), age_hours, truth, count)
    weak = [Prior(np.zeros(1), np.full(1, 1e-6), 0.1)] * 2
    epoch = begin(weak, link)
    everything = Rows(*(np.concatenate(parts) for parts in zip(young, closed, strict=True)))
    told = refit.tellings(passes_of(everything, 1_000), np.zeros(7), now_s)
    epoch = refit.refit(passes_of(everything, 1_000), weak, epoch, epoch.modes, told, now_s).epoch
    found = float(posterior.compose(by_cohort(everything, epoch, now_s), weak, ONE, epoch, now_s)[1].mean[0])
    share = min(age_hours / 72, 1.0)
    noise = np.sqrt(truth * share / count) / share
    assert (found if link == "identity" else expit(found)) == pytest.approx(truth, abs=4 * noise + 0.03 * truth)
    naive = young.answered[:, 1].mean()
    assert naive == pytest.approx(truth * share, abs=4 * np.sqrt(truth * share / count))


def opened_late(rng: np.random.Generator, exposed_s: F64, rate: float, now_s: float, phi: F64) -> Rows:
    """Exposures of which `rate` are opened within six hours, most of them soon: after an hour and a half on average."""
    count = len(exposed_s)
    delays_s = -1.5 * HOUR_S * np.log1p(-rng.random(count) * -np.expm1(-4.0))
    came = ((rng.random(count) < rate) & (exposed_s + delays_s <= now_s)).astype(float)
    nothing = np.zeros(count)
    ages_s = np.stack([np.where(came, delays_s, 0.0), nothing], axis=1)
    answered = np.stack([came, nothing], axis=1)
    return Rows(phi.astype(np.float32), exposed_s, nothing.astype(np.float32), np.ones(count), answered, ages_s)


@pytest.mark.parametrize("at_hour", [0.02, 3.4, 5.9])
@pytest.mark.parametrize("age_hours", [0.25, 1.0, 3.0])
def test_a_burst_is_unbiased_wherever_in_its_hours_it_falls(at_hour: float, age_hours: float) -> None:
    """A campaign sends everything in five minutes, beside what is shown all day: neither seems better or worse than it is."""
    rng, rate, count = np.random.default_rng(int(100 * at_hour + age_hours)), 0.1, 40_000
    begin_s = NOW_S // BLOCK_S * BLOCK_S
    burst_s = begin_s + at_hour * HOUR_S + rng.uniform(-60.0, 240.0, count)
    now_s = begin_s + (at_hour + age_hours) * HOUR_S
    steady_s = rng.uniform(now_s - 200 * HOUR_S, now_s, count)
    constant, is_burst = np.ones(2 * count), np.repeat([1.0, 0.0], count)
    phi = np.stack([constant, is_burst], axis=1)
    rows = opened_late(rng, np.concatenate([np.minimum(burst_s, now_s), steady_s]), rate, now_s, phi)
    weak, ranges = [Prior(np.zeros(2), np.full(2, 1e-3))] * 2, Ranges(np.zeros(2), np.ones(2))
    epoch = begin(weak, "logit")
    told = refit.tellings(passes_of(rows, 10_000), np.zeros(7), now_s)
    epoch = refit.refit(passes_of(rows, 10_000), weak, epoch, epoch.modes, told, now_s).epoch
    composed = posterior.compose(by_cohort(rows, epoch, now_s), weak, ranges, epoch, now_s)[0].mean
    for mode in (epoch.modes[0], composed):
        came = rows.answered[:count, 0].sum()
        assert expit(mode[0]) == pytest.approx(rate, rel=0.08)
        assert mode[1] == pytest.approx(0.0, abs=0.06 + 3.0 / np.sqrt(came))
