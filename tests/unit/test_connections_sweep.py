"""The look at all connections, a tenth at a time."""

from itertools import pairwise

import pytest

from service.connections import SWEEPS, Connections


class Client:
    """One that is closed when it is looked at in the sweep `closes_in` or a later one."""

    def __init__(self, connections: Connections, number: list[int], closes_in: int) -> None:
        self.looked_at: list[int] = []
        self.is_open = connections.take(self, "")
        self._connections = connections
        self._number = number
        self._closes_in = closes_in

    def look(self, now: float) -> None:
        self.looked_at.append(self._number[0])
        if self._number[0] >= self._closes_in:
            self._connections.drop(self, "")
            self.is_open = False

    def close_after_answer(self) -> None: ...

    def close_unfinished(self) -> None: ...


NEVER = 10_000
GAP_MAX = SWEEPS + 1
"""Tenths are rounded up."""


@pytest.mark.parametrize("over_in", range(SWEEPS))
@pytest.mark.parametrize("others", [0, 50])
def test_those_whose_time_is_over_together_are_closed_within_one_round(over_in: int, others: int) -> None:
    connections, number = Connections(10_000, 10_000), [0]
    crowd = [Client(connections, number, 20 + over_in) for _ in range(200)]
    quiet = [Client(connections, number, NEVER) for _ in range(others)]
    for number[0] in range(100):
        connections.sweep()
    for one in crowd:
        assert not one.is_open
        assert 20 + over_in <= one.looked_at[-1] < 20 + over_in + SWEEPS
    for one in (*crowd, *quiet):
        assert one.looked_at[0] < SWEEPS
        assert all(later - early <= GAP_MAX for early, later in pairwise(one.looked_at))


def test_nobody_waits_longer_for_a_look_because_others_come() -> None:
    connections, number = Connections(10_000, 10_000), [0]
    first = [Client(connections, number, NEVER) for _ in range(100)]
    for number[0] in range(50):
        if number[0] % 7 == 0:
            for _ in range(500):
                Client(connections, number, NEVER)
        connections.sweep()
    for one in first:
        assert all(later - early <= GAP_MAX for early, later in pairwise(one.looked_at))
