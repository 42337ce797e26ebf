"""All connections are looked at once in ten sweeps, however many there are."""

import pytest

from service.connections import SWEEPS, Connections


class Open:
    def __init__(self) -> None:
        self.looks = 0

    def look(self, now: float) -> None:
        self.looks += 1

    def close_after_answer(self) -> None: ...

    def close_unfinished(self) -> None: ...


@pytest.mark.parametrize("count", [1, 9, 10, 25, 1000])
def test_ten_sweeps_look_at_each_and_one_at_a_tenth(count: int) -> None:
    connections = Connections(2000, 2000)
    ones = [Open() for _ in range(count)]
    for one in ones:
        connections.take(one, "10.0.0.1")
    connections.sweep()
    assert sum(one.looks for one in ones) == -(-count // SWEEPS)
    for _ in range(SWEEPS - 1):
        connections.sweep()
    assert all(one.looks for one in ones)


def test_one_that_has_gone_is_not_looked_at() -> None:
    connections = Connections(2000, 2000)
    ones = [Open() for _ in range(20)]
    for one in ones:
        connections.take(one, "10.0.0.1")
    connections.sweep()
    for one in ones:
        connections.drop(one, "10.0.0.1")
    before = sum(one.looks for one in ones)
    for _ in range(2 * SWEEPS):
        connections.sweep()
    assert sum(one.looks for one in ones) == before
