import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandits import send_time
from bandits.kernels import moments
from bandits.rhythm import HOURS
from tests.reference import send_time as reference

MONDAY_23, TUESDAY_0, MONDAY_0, SUNDAY_23 = 23, 24, 0, 167
EVERYONE = np.full(HOURS, 1 / HOURS, np.float32)


def visits_at(*hours: int) -> np.ndarray:
    visits = np.zeros((1, HOURS), np.float32)
    visits[0, list(hours)] = 8.0
    return visits


def scores(own: np.ndarray, shares: np.ndarray = EVERYONE) -> np.ndarray:
    score = np.empty(HOURS)
    moments.score_hours(own, send_time.smoothing(), send_time.of_all(shares), score)
    return score


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_scores_are_the_twin_s(seed: int) -> None:
    draw = np.random.default_rng(seed)
    visits = draw.poisson(0.05, (2, HOURS)).astype(np.float32)
    shares = draw.dirichlet(np.full(HOURS, 0.5)).astype(np.float32)
    for own in visits:
        assert scores(own, shares) == pytest.approx(reference.scores(own.tolist(), shares.tolist()), rel=1e-12)


def test_what_is_near_midnight_is_near_the_next_day() -> None:
    """A visit on Monday at 23 speaks for Tuesday at 0, an hour later, and not for Monday at 0, twenty-three hours before."""
    smoothed = reference.smoothed(visits_at(MONDAY_23)[0].tolist())
    assert smoothed[TUESDAY_0] > 1.5 * smoothed[MONDAY_0]
    around = scores(visits_at(MONDAY_23)[0])
    assert around[TUESDAY_0] > around[MONDAY_0]
    around_the_week = scores(visits_at(SUNDAY_23)[0])
    assert around_the_week[MONDAY_0] > around_the_week[6 * 24]


def test_the_pmf_keeps_to_what_is_allowed_with_a_floor() -> None:
    allowed = np.ones(HOURS, np.bool_)
    allowed[MONDAY_23 - 3 : MONDAY_23 + 1] = False
    chances = np.empty(HOURS)
    assert moments.hour_pmf(scores(visits_at(MONDAY_23)[0]), allowed, chances) == HOURS - 4
    assert chances.sum() == pytest.approx(1.0)
    assert (chances[~allowed] == 0.0).all()
    assert chances[allowed].min() >= moments.FLOOR / allowed.sum() * (1 - 1e-9)
    wanted = reference.pmf(scores(visits_at(MONDAY_23)[0]), allowed)
    assert chances == pytest.approx(wanted, rel=1e-12)
    assert moments.hour_pmf(scores(visits_at(MONDAY_23)[0]), np.zeros(HOURS, np.bool_), chances) == 0


def test_hours_are_drawn_as_often_as_the_pmf_says() -> None:
    """Three hours are allowed to half of the people and none to one: everybody else is drawn by the clock that is theirs."""
    people = 10_001
    visits = np.tile(visits_at(MONDAY_23, TUESDAY_0), (people, 1))
    allowed = np.zeros((3, HOURS), np.bool_)
    allowed[0, [22, 23, 24]] = allowed[1, 100] = True
    clock = np.arange(people) % 2
    clock[-1] = 2
    uniforms = (np.arange(people) // 2 + 0.5) / (people // 2)
    drawn = send_time.draw(visits, EVERYONE, allowed, clock, np.minimum(uniforms, 1 - 1e-17))
    pmf = reference.pmf(scores(visits[0]), allowed[0])
    counts = np.bincount(drawn.hours[clock == 0], minlength=HOURS)
    assert np.abs(counts - 5_000 * pmf).max() <= 1
    assert drawn.propensities[clock == 0] == pytest.approx(pmf[drawn.hours[clock == 0]], rel=1e-12)
    assert (drawn.hours[clock == 1] == 100).all()
    assert (drawn.hours[-1], drawn.propensities[-1], drawn.unreadable) == (-1, 0.0, 0)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -1.0])
def test_visits_that_are_no_counts_are_none(odd: float) -> None:
    visits = np.concatenate([visits_at(MONDAY_23), visits_at(), visits_at(MONDAY_23)])
    visits[2, HOURS - 1] = odd
    always, same = np.ones((1, HOURS), np.bool_), np.zeros(3, np.int64)
    drawn = send_time.draw(visits, EVERYONE, always, same, np.full(3, 0.4))
    assert drawn.unreadable == 1
    assert drawn.hours[2] == drawn.hours[1] != drawn.hours[0]
    assert drawn.propensities[2] == drawn.propensities[1]
