"""How many are let in, by a clock of the test's own."""

import heapq
from random import Random

import pytest

from service import admission
from service.admission import IN_FLIGHT_MIN, Lane
from service.errors import ApiError

WAIT_S = 0.1


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(admission, "monotonic", made)
    return made


def is_let_in(lane: Lane) -> bool:
    try:
        lane.enter()
    except ApiError as error:
        return error.code != "overloaded"
    return True


class Run:
    """Poisson arrivals at a server that takes what waits in batches, as a worker does: `round_s`, and `each_s` for each."""

    def __init__(self, clock: Clock, lane: Lane, each_s: float, round_s: float = 0.005) -> None:
        self.clock, self.lane = clock, lane
        self.each_s, self.round_s = each_s, round_s
        self.waits: list[float] = []
        self.refused = 0
        self.random = Random(7)

    def play(self, per_s: float, seconds: float) -> None:
        self.waits, self.refused = [], 0
        end, queue, batch = self.clock.now + seconds, list[float](), list[float]()
        events = [(self.clock.now + self.random.expovariate(per_s), 0)]
        while events and self.clock.now < end:
            self.clock.now, kind = heapq.heappop(events)
            if kind == 0:
                heapq.heappush(events, (self.clock.now + self.random.expovariate(per_s), 0))
                if is_let_in(self.lane):
                    queue.append(self.clock.now)
                else:
                    self.refused += 1
            else:
                for came in batch:
                    self.waits.append(self.clock.now - came)
                    self.lane.leave()
                batch = []
            if queue and not batch:
                batch, queue = queue[:256], queue[256:]
                heapq.heappush(events, (self.clock.now + self.round_s + self.each_s * len(batch), 1))
        for _ in range(len(queue) + len(batch)):
            self.lane.leave()

    def p99(self) -> float:
        return sorted(self.waits)[int(0.99 * len(self.waits))]


@pytest.mark.parametrize("each_s", [0.0003, 0.001, 0.003])
def test_at_three_times_what_can_be_done_nobody_waits_twice_as_long(clock: Clock, each_s: float) -> None:
    run = Run(clock, Lane("decisions", WAIT_S), each_s)
    capacity = 1 / each_s
    run.play(0.6 * capacity, 10)
    assert run.refused == 0
    run.play(capacity, 10)
    at_capacity, done = run.p99(), len(run.waits)
    run.play(3 * capacity, 10)
    assert run.p99() <= 2 * at_capacity
    assert run.p99() <= 2 * max(WAIT_S, IN_FLIGHT_MIN * each_s)
    # What is turned away costs nobody who is let in their answer.
    assert len(run.waits) >= 0.85 * done
    assert run.refused > 1.5 * len(run.waits)
    run.play(0.6 * capacity, 10)
    assert run.refused < 0.01 * len(run.waits)


def test_a_server_that_becomes_slower_lets_fewer_in_and_forgets_it(clock: Clock) -> None:
    lane = Lane("decisions", WAIT_S)
    run = Run(clock, lane, 0.0002)
    run.play(10_000, 10)
    fast = lane.limit
    assert 2 * IN_FLIGHT_MIN < fast < 600
    run.each_s = 0.002
    run.play(10_000, 10)
    assert lane.limit == IN_FLIGHT_MIN
    run.each_s = 0.0002
    run.play(10_000, 10)
    assert 0.8 * fast < lane.limit < 1.25 * fast


def test_who_waits_for_a_client_takes_no_place(clock: Clock) -> None:
    lane = Lane("decisions", WAIT_S)
    for _ in range(1_000):
        assert is_let_in(lane)
        lane.step_out()
    assert lane.in_flight == 0
    for _ in range(lane.limit):
        lane.step_in()
    assert not is_let_in(lane)
    lane.leave()
    assert is_let_in(lane)
