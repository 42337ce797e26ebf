"""When answers are told: F against its twin, learned from what is over, and right on any day of the week."""

from collections.abc import Callable
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bandits import delay
from bandits.delay import AGE_EDGES_S, HOUR_S, HOURS, TOLD_WITHIN_S, WINDOW_S, Telling, Told
from tests.reference import learning as reference

F64 = NDArray[np.float64]
WEEK_S: Final = HOURS * HOUR_S
LAST_S: Final = 2_900 * WEEK_S
NOBODY: Final = np.zeros(7)
EDGES_H: Final = np.array((0.0, *AGE_EDGES_S)) / HOUR_S

quick = settings(max_examples=30, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def anything(rng: np.random.Generator) -> Telling:
    return Telling(rng.exponential(size=len(AGE_EDGES_S)), rng.exponential(size=HOURS) + 0.01)


@quick
@given(seeds)
def test_the_share_told_is_the_twin_s(seed: int) -> None:
    rng = np.random.default_rng(seed)
    telling, exposed_h = anything(rng), rng.uniform(1_000.0, 5_000.0)
    now_h = exposed_h + rng.uniform(0.0, 130.0)

    def rate(age: float, at: float) -> float:
        return float(telling.rates[np.searchsorted(EDGES_H, age) - 1] * telling.rhythm[int(at) % HOURS])

    found = delay.shares(telling, np.array([exposed_h * HOUR_S]), now_h * HOUR_S)
    assert found[0] == pytest.approx(reference.told_share(rate, exposed_h, now_h, 120.0), abs=2e-3)


def test_before_anything_was_told_it_is_even_over_the_window_and_at_once_is_at_once() -> None:
    ages_s = np.array([0.0, 6.0, 36.0, 72.0, 119.0, 120.0]) * HOUR_S
    assert delay.shares(delay.unknown(WINDOW_S), LAST_S - ages_s, LAST_S) == pytest.approx([0, 1 / 12, 1 / 2, 1, 1, 1])
    assert delay.shares(delay.unknown(6 * HOUR_S), LAST_S - ages_s, LAST_S) == pytest.approx([0, 1, 1, 1, 1, 1])
    assert delay.shares(delay.AT_ONCE, LAST_S - ages_s, LAST_S).tolist() == [1.0] * 6
    assert delay.shares_by_age(delay.unknown(WINDOW_S)) == pytest.approx(np.minimum(EDGES_H[1:] / 72.0, 1.0))
    busy = delay.learn(delay.NOTHING, WINDOW_S, np.array([80.0, 180.0, 80.0, 80.0, 80.0, 80.0, 80.0]))
    assert busy.rhythm[24] == pytest.approx(2.0 * busy.rhythm[0])


def rewards(rng: np.random.Generator, count: int) -> tuple[F64, F64, F64]:
    """Of the ten weeks before LAST_S: instants of exposures, ages, weights."""
    return (
        LAST_S - rng.uniform(0.0, 10 * WEEK_S, count),
        rng.uniform(0.0, WINDOW_S, count),
        rng.uniform(0.5, 1.0, count),
    )


@quick
@given(seeds, st.integers(0, 200))
def test_any_order_and_any_parts_of_the_log_tell_the_same(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    all_of_them = rewards(rng, count)
    order, cut = rng.permutation(count), count // 3
    parts = [delay.told(*(one[chosen] for one in all_of_them), LAST_S) for chosen in (order[:cut], order[cut:])]
    joined = Told(*(one + other for one, other in zip(*parts, strict=True)))
    found, wanted = (delay.learn(one, WINDOW_S, NOBODY) for one in (joined, delay.told(*all_of_them, LAST_S)))
    np.testing.assert_allclose(found.rates, wanted.rates, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.rhythm, wanted.rhythm, rtol=1e-6)


def test_of_exposures_whose_answers_are_under_way_nothing_is_learned() -> None:
    """Their early answers alone are known: with them F would be too high."""
    young_s = np.array([LAST_S - TOLD_WITHIN_S + 1.0])
    assert not delay.told(young_s, np.array([HOUR_S]), np.ones(1), LAST_S).by_age.any()
    assert delay.told(young_s - 1.0, np.array([HOUR_S]), np.ones(1), LAST_S).by_age.sum() == 1.0


def at_once(happened_s: F64) -> F64:
    return happened_s


def at_noon(happened_s: F64) -> F64:
    """The till reports once a day."""
    return np.ceil(happened_s / (24 * HOUR_S) - 0.5) * 24 * HOUR_S + 12 * HOUR_S


def bought(rng: np.random.Generator, exposed_s: F64) -> F64:
    """How long after each exposure, of people who buy within 72 hours: in the daytime, twice as often at weekends."""
    tried_s = exposed_s + rng.uniform(0.0, WINDOW_S, (40, len(exposed_s)))
    hour, day = tried_s // HOUR_S % 24, (tried_s // (24 * HOUR_S) + 3) % 7
    chance = np.where((hour >= 7) & (hour < 22), 1.0, 0.1) * np.where(day >= 5, 1.0, 0.5)
    is_taken = rng.random(tried_s.shape) < chance
    assert is_taken.any(axis=0).all()
    return tried_s[is_taken.argmax(axis=0), np.arange(len(exposed_s))]


@pytest.mark.parametrize("tell", [at_once, at_noon])
@pytest.mark.parametrize("weekday", range(7))
def test_what_was_shown_since_a_launch_is_answered_as_expected(tell: Callable[[F64], F64], weekday: int) -> None:
    """Learned from eight weeks of a pilot, then three days of everybody: on every weekday as many answers as F promises."""
    rng = np.random.default_rng(weekday)
    launch_s = LAST_S + (weekday + 4) * 24 * HOUR_S  # LAST_S is a Thursday
    now_s = launch_s + 72 * HOUR_S
    pilot_s, shown_s = launch_s - rng.uniform(0.0, 8 * WEEK_S, 10_000), launch_s + rng.uniform(0.0, 72 * HOUR_S, 20_000)
    told_s = tell(bought(rng, pilot_s))
    telling = delay.learn(delay.told(pilot_s, told_s - pilot_s, np.ones(10_000), now_s), WINDOW_S, NOBODY)
    came = float((tell(bought(rng, shown_s)) <= now_s).sum())
    assert came / delay.shares(telling, shown_s, now_s).sum() == pytest.approx(1.0, abs=0.06)
    by_age = np.interp(now_s - shown_s, (0.0, *AGE_EDGES_S), (0.0, *delay.shares_by_age(telling)))
    if weekday == 2:
        assert came / by_age.sum() < 0.9  # an F of age alone is wrong
