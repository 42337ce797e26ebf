"""The worth of a moment, on worlds whose baskets can be counted by hand."""

import numpy as np
import pytest

from service.demo import moments
from service.demo.scoring import Pushes
from service.demo.world import World
from tests.unit.demo_world import MILK, seconds, world

# Household 0 shops at 23:30 on Tuesdays and Fridays, 1 at 17:30 on Fridays, 2 never did before.
DAYS = [("2017-02-28", 0), ("2017-03-07", 0), *((f"2017-02-{day:02d}", 0) for day in range(10, 18))]
BEFORE = [
    *((0, f"{day}T23:30:00", "milk") for day, _ in DAYS),
    *((1, f"2017-{day}T17:30:00", "milk") for day in ("02-10", "02-17", "02-24", "03-03", "03-10", "02-03")),
    *((1, f"2017-01-{day:02d}T17:30:00", "milk") for day in (6, 13, 20, 27)),
]
LATER = [(0, "2017-03-14T23:30:00", "milk"), (1, "2017-03-17T17:30:00", "milk")]


def sent(at: list[str | None]) -> Pushes:
    at_s = np.array([[seconds(one) if one else 0] for one in at], np.int64)
    return Pushes(at_s, np.full_like(at_s, MILK))


def small() -> World:
    return world(3, 1, BEFORE + LATER)


def test_who_shops_at_night_is_known_from_ten_baskets_of_the_past() -> None:
    assert moments.is_nocturnal(small())[:, 0].tolist() == [True, False, False]
    few = [one for one in BEFORE if one[0] == 1 or one[1] > "2017-02-11"]
    assert not moments.is_nocturnal(world(3, 1, few + LATER)).any()
    # Three of ten at night are enough, two are not.
    noon = [(0, f"{day}T12:00:00", "milk") for day, _ in DAYS]
    mixed = [*BEFORE[:3], *noon[3:10]], [*BEFORE[:2], *noon[2:10]]
    assert [bool(moments.is_nocturnal(world(1, 1, one)).item()) for one in mixed] == [True, False]


def test_opens_are_those_of_the_chosen_moment_of_the_best_hour_and_of_any_hour() -> None:
    chosen = sent(["2017-03-14T23:00:00", "2017-03-17T17:00:00", "2017-03-15T12:00:00"])
    found = moments.compare(small(), chosen, seed=1)
    assert found.everyone.pushes == 3
    assert found.everyone.chosen == pytest.approx(2 / 3)
    # A basket is within six hours of six beginnings of an hour in the week's 168, of two households.
    assert found.everyone.random_hour == pytest.approx(2 * 6 / 168 / 3)
    assert found.everyone.best_hour == pytest.approx(1 / 3)
    assert found.everyone.vs_random_hour.value == pytest.approx(168 / 6)
    assert (found.night_households.pushes, found.night_households.chosen) == (1, 1.0)
    assert found.sent_at_night == pytest.approx(1 / 3)
    assert found.sent_at_night_to_night_households == 1.0
    assert [hour for hour, count in enumerate(found.sent_by_hour) if count] == [12, 17, 23]
    assert [hour for hour, count in enumerate(found.sent_by_hour_to_night_households) if count] == [23]


def test_household_weeks_without_a_push_are_left_out_of_all_three() -> None:
    found = moments.compare(small(), sent([None, "2017-03-17T17:00:00", None]), seed=1)
    assert (found.everyone.pushes, found.everyone.chosen) == (1, 1.0)
    assert found.everyone.random_hour == pytest.approx(6 / 168)
    assert found.night_households.pushes == 0
    assert found.night_households.chosen is None
    assert found.sent_at_night == 0.0
    assert found.sent_at_night_to_night_households is None


@pytest.mark.parametrize(
    ("local", "is_night"),
    [("21:59:59", False), ("22:00:00", True), ("00:00:00", True), ("05:59:59", True), ("06:00:00", False)],
)
def test_night_is_from_22_to_6_of_the_local_clock(local: str, is_night: bool) -> None:
    found = moments.compare(small(), sent([f"2017-03-15T{local}", None, None]), seed=1)
    assert found.sent_at_night_to_night_households == float(is_night)
