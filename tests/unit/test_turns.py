"""Under a flood what comes at connections is served in turns: refusals for so long in each, the rest in the order in which it came."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from service import turns
from service.turns import Turns


class Loop:
    def __init__(self) -> None:
        self.soon: list[Callable[[], Any]] = []

    def call_soon(self, work: Callable[..., Any], *given: Any) -> None:
        self.soon.append(lambda: work(*given))

    def turn(self) -> None:
        soon, self.soon = self.soon, []
        for work in soon:
            work()


class Waiting(NamedTuple):
    world: "World"
    data: bytes

    def serve_late(self) -> None:
        self.world.serve(self.data)


class World:
    """Its connection refuses what begins with an r."""

    def __init__(self) -> None:
        self.loop: Any = Loop()
        self.turns = Turns()
        self.served: list[bytes] = []
        self.now_s = 0.0

    def come(self, *pieces: bytes) -> list[bool]:
        return [self.comes(piece) for piece in pieces]

    def comes(self, data: bytes) -> bool:
        one = Waiting(self, data)
        is_now = self.turns.take(one)
        if is_now:
            one.serve_late()
        return is_now

    def serve(self, data: bytes) -> None:
        self.served.append(data)
        if data.startswith(b"r"):
            self.turns.count_refusal(self.loop)
            self.now_s += turns.REFUSING_S / 2  # two in each turn
        if data == b"broken":
            raise RuntimeError


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(turns, "perf_counter", lambda: made.now_s)
    monkeypatch.setattr(turns, "ASIDE_S", 0.0)
    return made


def test_as_long_as_nobody_is_refused_all_is_served_at_once(world: World) -> None:
    assert all(world.come(*[b"a"] * 99))
    assert world.loop.soon == []


def test_after_so_many_refusals_the_rest_comes_in_the_next_turn(world: World) -> None:
    assert world.come(b"r1", b"a", b"r2", b"b", b"r3", b"r4") == [True, True, True, False, False, False]
    world.loop.turn()
    assert world.served == [b"r1", b"a", b"r2", b"b", b"r3", b"r4"]
    assert world.come(b"c") == [False]  # of the same turn
    world.loop.turn()
    assert world.served[-1] == b"c"
    world.loop.turn()
    assert world.loop.soon == []  # nobody asks for a turn in which nothing is to be done
    assert world.come(b"r5", b"d") == [True, True]


def test_the_more_wait_the_longer_is_a_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "ASIDE_S", 0.001)
    monkeypatch.setattr(turns, "REFUSING_MAX_S", 2 * turns.REFUSING_S)
    world.come(*[b"r%d" % n for n in range(20)])
    assert len(world.served) == 2
    world.loop.turn()
    assert len(world.served) == 2 + 4  # twice as many of eighteen


def test_who_came_before_is_served_before(world: World) -> None:
    world.come(*[b"r%d" % n for n in range(7)])
    world.loop.turn()
    assert world.come(b"late") == [False]
    for _ in range(3):
        world.loop.turn()
    assert world.served == [*[b"r%d" % n for n in range(7)], b"late"]


def test_one_that_breaks_holds_up_no_other(world: World) -> None:
    world.come(b"r1", b"r2", b"broken", b"a", b"r3", b"b", b"r4", b"c")
    with pytest.raises(RuntimeError):
        world.loop.turn()
    for _ in range(3):
        world.loop.turn()
    assert world.served == [b"r1", b"r2", b"broken", b"a", b"r3", b"b", b"r4", b"c"]
    assert world.loop.soon == []


def test_nobody_passes_those_who_are_left_from_an_earlier_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LATE_MAX", 1)
    world.come(b"r1", b"r2", b"a", b"b")
    world.loop.turn()
    assert world.come(b"c") == [False]  # though nobody was refused in this turn
    for _ in range(3):
        world.loop.turn()
    assert world.served == [b"r1", b"r2", b"a", b"b", b"c"]
