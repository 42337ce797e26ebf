"""The schedule of faults is the seed's, and hits everything; what came back too late is told."""

from collections import Counter

from loadtest.faults import recovery, schedule
from loadtest.faults.recovery import Recovery


def test_a_seed_draws_the_same_schedule_again_and_another_one_another() -> None:
    assert schedule.draw("a", 20, 60.0) == schedule.draw("a", 20, 60.0)
    assert schedule.draw("a", 20, 60.0) != schedule.draw("b", 20, 60.0)


def test_everything_is_killed_as_often_as_anything_else_and_two_at_once_now_and_then() -> None:
    kills = schedule.draw("seed", 100, 1_200.0)
    victims = Counter(victim for kill in kills for victim in kill.victims)
    assert victims == dict.fromkeys(schedule.VICTIMS, 20)
    assert 0 < sum(len(kill.victims) == 2 for kill in kills) < 25
    instants = [kill.at_s for kill in kills]
    assert instants == sorted(instants)
    assert instants[-1] < 1_200.0


def test_late_is_a_write_long_after_postgresql_was_there() -> None:
    in_time = Recovery(("postgres",), 0.0, reached_s=30.0, writes_s=39.0, whole_s=60.0)
    too_late = Recovery(("api", "drawer"), 0.0, reached_s=1.0, writes_s=11.5, whole_s=12.0)
    assert recovery.late([in_time, too_late]) == [
        "api + drawer: a write was acknowledged 10.5 s after PostgreSQL could be reached"
    ]
