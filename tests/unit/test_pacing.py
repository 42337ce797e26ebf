"""The shadow price of what has an end: a budget lasts, goes to those to whom it is worth most, and costs nothing where there is enough."""

import math
from typing import NamedTuple

import numpy as np
import pytest

from bandits.policies import pacing

DAYS = 20
PEOPLE_AN_HOUR = 40


class Sold(NamedTuple):
    """How many were taken by each day, what those were worth who took it, and the prices of all hours."""

    by_day: list[int]
    worth: float
    prices: list[float]


def play(limit: int, *, is_priced: bool, seed: int = 1) -> Sold:
    """A shop where everybody gets of two deals the one that is worth more to them, the limited one less its price."""
    rng = np.random.default_rng(seed)
    left, how_far, hours = limit, 0.0, DAYS * 24
    by_day, worth, prices = [0] * DAYS, [], []
    for hour in range(hours):
        for limited, other in rng.uniform(0.0, [0.1, 0.06], (PEOPLE_AN_HOUR, 2)):
            price = pacing.price(how_far) if is_priced else 0.0
            prices.append(price)
            if left and limited - price > other:
                how_far = pacing.ahead(how_far, pacing.log_ratio(left, left - 1), 0.0)
                left -= 1
                by_day[hour // 24] += 1
                worth.append(limited)
        how_far = pacing.ahead(how_far, 0.0, pacing.log_ratio(hours - hour, hours - hour - 1))
    return Sold(by_day, float(np.mean(worth)), prices)


def test_a_budget_lasts_to_the_end_and_is_used_up() -> None:
    """Unpriced demand would take all of it within the first days."""
    unpriced, priced = play(2_000, is_priced=False), play(2_000, is_priced=True)
    assert sum(unpriced.by_day[:4]) == 2_000
    assert sum(priced.by_day) > 1_900
    assert min(priced.by_day[:-1]) > 50
    assert max(priced.by_day) < 300
    assert priced.by_day[-1] > 0


def test_what_is_scarce_goes_to_those_to_whom_it_is_worth_most() -> None:
    assert play(2_000, is_priced=True).worth > 1.2 * play(2_000, is_priced=False).worth


def test_where_there_is_enough_the_price_is_zero_all_the_time() -> None:
    assert max(play(40_000, is_priced=True).prices) == 0.0


@pytest.mark.parametrize("limit", [20, 200, 2_000])
def test_a_rush_of_the_first_hour_leaves_most_of_it(limit: int) -> None:
    """A hundred thousand people at once, to all of whom it is worth no more than a tenth of a redemption."""
    how_far, left = 0.0, limit
    for _ in range(100_000):
        if left and pacing.price(how_far) < 0.1:
            how_far = pacing.ahead(how_far, pacing.log_ratio(left, left - 1), 0.0)
            left -= 1
    assert left >= 0.8 * limit


def test_neither_the_size_of_a_budget_nor_how_often_one_looks_matters() -> None:
    at_once = pacing.ahead(0.0, pacing.log_ratio(100, 90), pacing.log_ratio(100, 99))
    bit_by_bit = 0.0
    for n in range(1_000):
        taken = pacing.log_ratio(10_000 - n, 10_000 - n - 1)
        bit_by_bit = pacing.ahead(bit_by_bit, taken, pacing.log_ratio(100 - n / 1_000, 100 - (n + 1) / 1_000))
    assert at_once == pytest.approx(bit_by_bit)


def test_the_extremes() -> None:
    assert pacing.ahead(0.0, pacing.log_ratio(1, 0), 0.0) == pacing.AHEAD_MAX
    assert pacing.price(pacing.AHEAD_MAX) == pytest.approx(pacing.MOST)
    assert pacing.ahead(pacing.AHEAD_MAX, 0.0, math.inf) == 0.0
    assert pacing.log_ratio(0, 5) == 0.0
    assert pacing.log_ratio(5, 10) == -math.log(2)  # given back
