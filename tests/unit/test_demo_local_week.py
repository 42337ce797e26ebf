"""Hours of the week on the households' clock, over both changes of it."""

import numpy as np

from service.demo import local_week
from tests.unit.demo_world import seconds


def test_monday_midnight_is_hour_zero() -> None:
    at_s = np.array([seconds("2017-03-13T00:00:00"), seconds("2017-03-12T23:59:59"), seconds("2017-07-01T13:30:00")])
    assert local_week.hours_of_week(at_s).tolist() == [0, 167, 5 * 24 + 13]
    assert local_week.weeks_of(at_s).tolist() == [0, -1, 15]


def test_the_spring_has_an_hour_less_and_the_autumn_one_more() -> None:
    spring = np.array([seconds("2017-03-12T01:30:00"), seconds("2017-03-12T01:30:00") + 3600])
    assert local_week.hours_of_week(spring).tolist() == [6 * 24 + 1, 6 * 24 + 3]
    autumn = seconds("2017-11-05T01:30:00") + np.array([0, 3600, 7200])
    assert local_week.hours_of_week(autumn).tolist() == [6 * 24 + 1, 6 * 24 + 1, 6 * 24 + 2]


def test_instants_of_all_weeks_are_their_own_hours() -> None:
    instants = local_week.instants(42)
    assert instants.shape == (43, 168)
    assert instants[0, 0] == seconds("2017-03-13T00:00:00")
    assert np.array_equal(local_week.hours_of_week(instants), np.broadcast_to(np.arange(168), (43, 168)))
    assert np.array_equal(local_week.weeks_of(instants), np.broadcast_to(np.arange(43)[:, None], (43, 168)))
    steps = np.diff(instants.ravel())
    assert sorted(set(steps.tolist())) == [3600, 7200]  # of a repeated hour the first counts
