import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandits import send_time
from bandits.rhythm import HOURS
from tests.reference import send_time as reference

MONDAY_23, TUESDAY_0, MONDAY_0, SUNDAY_23 = 23, 24, 0, 167
EVERYONE = np.full(HOURS, 1 / HOURS, np.float32)


def visits_at(*hours: int) -> np.ndarray:
    visits = np.zeros((1, HOURS), np.float32)
    visits[0, list(hours)] = 8.0
    return visits


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_scores_are_the_twin_s(seed: int) -> None:
    draw = np.random.default_rng(seed)
    visits = draw.poisson(0.05, (2, HOURS)).astype(np.float32)
    shares = draw.dirichlet(np.full(HOURS, 0.5)).astype(np.float32)
    found = send_time.scores(visits, shares)
    for own, score in zip(visits, found, strict=True):
        assert score == pytest.approx(reference.scores(own.tolist(), shares.tolist()), rel=1e-9)


def test_what_is_near_midnight_is_near_the_next_day() -> None:
    """A visit on Monday at 23 speaks for Tuesday at 0, an hour later, and not for Monday at 0, twenty-three hours before."""
    smoothed = reference.smoothed(visits_at(MONDAY_23)[0].tolist())
    assert smoothed[TUESDAY_0] > 1.5 * smoothed[MONDAY_0]
    scores = send_time.scores(visits_at(MONDAY_23), EVERYONE)[0]
    assert scores[TUESDAY_0] > scores[MONDAY_0]
    around_the_week = send_time.scores(visits_at(SUNDAY_23), EVERYONE)[0]
    assert around_the_week[MONDAY_0] > around_the_week[6 * 24]


def test_the_pmf_keeps_to_what_is_allowed_with_a_floor() -> None:
    allowed = np.ones(HOURS, np.bool_)
    allowed[MONDAY_23 - 3 : MONDAY_23 + 1] = False
    chances = send_time.pmf(send_time.scores(visits_at(MONDAY_23), EVERYONE), allowed)[0]
    assert chances.sum() == pytest.approx(1.0)
    assert (chances[~allowed] == 0.0).all()
    assert chances[allowed].min() >= send_time.FLOOR / allowed.sum() * (1 - 1e-9)


def test_hours_are_drawn_as_often_as_the_pmf_says() -> None:
    chances = np.tile(np.r_[0.0, 0.3, 0.7, np.zeros(HOURS - 3)], (10_000, 1))
    uniforms = (np.arange(10_000) + 0.5) / 10_000
    drawn = send_time.draw(chances, uniforms)
    assert np.bincount(drawn, minlength=HOURS)[:4].tolist() == [0, 3000, 7000, 0]
    assert send_time.draw(chances[:1], np.array([1.0 - 1e-17]))[0] == 2
