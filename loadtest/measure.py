"""One run: ours and the references take turns in short rounds on the same machine, so that its noise meets them all."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from statistics import median
from typing import Any, Final, NamedTuple

import asyncpg

from loadtest import references, server, wire, workload
from loadtest.drive import OK, Latency, Target, Throughput, arrivals, closed_loop, open_loop
from loadtest.workload import Caller

CONNECTIONS: Final = 32
"""Of the closed loop: enough to keep one worker busy, few enough that its queue is not what is measured."""
OPEN_CONNECTIONS_MAX: Final = 64
LOAD_SHARE: Final = 0.5
"""The open loop runs at this share of what the slower of ours and the reference can do."""
WARM_S: Final = 0.4
LEFT_SHARE_MIN: Final = 0.4
"""Turns shorter than this share of what was planned say nothing."""
SETTLE_S: Final = 2.0
"""After the import the learner folds everybody's past; it is left alone for that long."""

# Shares of a round, in units of a plan's unit_s.
_DECISIONS, _ECHO, _INSERTS, _LATENCY, _EVENTS, _BATCHES = 3, 2, 2, 5, 3, 2
_UNITS: Final = _DECISIONS + _ECHO + _INSERTS + 2 * _LATENCY + _EVENTS + _BATCHES


class Plan(NamedTuple):
    """How often everything takes its turn, how long that may take in all, and when it must be over, start included."""

    rounds: int
    measure_s: float
    over_after_s: float

    def unit_s(self, spent_s: float) -> float:
        """The unit of a turn, in seconds, when the start took spent_s: a slow start shortens the turns.

        Raises:
            TooSlowError: too little is left.
        """
        left_s = min(self.measure_s, self.over_after_s - spent_s)
        if left_s < self.measure_s * LEFT_SHARE_MIN:
            raise TooSlowError(f"start and import took {spent_s:.0f} s: too little time is left to measure")
        return left_s / (self.rounds * _UNITS)


class Measured(NamedTuple):
    """What was seen, a value for each round; latencies at `rate_per_s` arrivals a second.

    `load_before` is the machine's load average before anything of ours was started: what others were doing.
    """

    decisions: list[Throughput]
    echo: list[Throughput]
    inserts: list[Throughput]
    events: list[Throughput]
    batch_rows_per_s: list[float]
    rate_per_s: float
    decision_latencies: list[Latency]
    insert_latencies: list[Latency]
    load_before: float


class TooSlowError(Exception):
    """The machine is too busy to measure anything in the time given."""


class LostError(Exception):
    """The server answered for more than it wrote."""


class _Turns(NamedTuple):
    """A plan once the start is over."""

    rounds: int
    unit_s: float


class _Bench(NamedTuple):
    """Everything that is up during a run."""

    ours: Target
    echo: Target
    insert: Target
    connection: Any
    decisions: Iterator[bytes]
    events: Iterator[bytes]


async def run(plan: Plan, said: Callable[[str], None]) -> Measured:
    """Starts everything, measures, and stops and removes everything; `said` is told how far it is.

    Raises:
        NotServedError: the server did not start.
        NotSetUpError: it refused the offers or the past of the people.
        TooSlowError: too little time was left.
        LostError: it answered for more than it wrote.
    """
    started, load_before = time.monotonic(), os.getloadavg()[0]
    async with AsyncExitStack() as stack:
        said("starting the server")
        served = await stack.enter_async_context(server.serving())
        caller = Caller(served.port, served.key)
        said(f"importing {workload.OFFERS} offers and the past of {workload.PEOPLE} people")
        await workload.set_up(caller, datetime.now(UTC))
        connection = await asyncpg.connect(served.dsn)
        stack.push_async_callback(connection.close)
        await references.make_tables(connection)
        await asyncio.sleep(SETTLE_S)
        answer_bytes = await _look_at_answers(caller)
        bench = _Bench(
            ours=Target("server", served.port, served.api_pid),
            echo=await stack.enter_async_context(references.running("echo", answer_bytes, served.dsn)),
            insert=await stack.enter_async_context(references.running("insert", answer_bytes, served.dsn)),
            connection=connection,
            decisions=workload.decisions(caller),
            events=workload.event_batches(caller, datetime.now(UTC)),
        )
        turns = _Turns(plan.rounds, plan.unit_s(time.monotonic() - started))
        return (await _measure(bench, turns, said))._replace(load_before=load_before)


async def _look_at_answers(caller: Caller) -> int:
    """The median size of an answer, in bytes."""
    sizes = []
    for body in workload.decision_bodies()[:50]:
        status, answer = await wire.ask(caller.port, caller.post("/v1/decisions", body))
        if status != OK:
            raise workload.NotSetUpError(f"decisions: {status} {answer[:500]!r}")
        sizes.append(len(answer))
    return int(median(sizes))


async def _measure(bench: _Bench, plan: _Turns, said: Callable[[str], None]) -> Measured:
    measured = Measured([], [], [], [], [], 0.0, [], [], 0.0)
    for number in range(plan.rounds):
        said(f"round {number + 1} of {plan.rounds}: what each can do")
        await _in_turn(_throughput_turns(bench, plan, measured), number)
    slower = min(median(each.per_s for each in rounds) for rounds in (measured.decisions, measured.inserts))
    measured = measured._replace(rate_per_s=LOAD_SHARE * slower)
    for number in range(plan.rounds):
        said(f"round {number + 1} of {plan.rounds}: how long one waits at {measured.rate_per_s:.0f}/s")
        await _in_turn(_latency_turns(bench, plan, measured, number), number)
    await _must_be_written(bench.connection, measured)
    return measured


Turn = Callable[[], Awaitable[None]]


async def _in_turn(turns: list[Turn], number: int) -> None:
    """Each takes its turn; who is first changes from round to round."""
    first = number % len(turns)
    for turn in turns[first:] + turns[:first]:
        await turn()


def _throughput_turns(bench: _Bench, plan: _Turns, measured: Measured) -> list[Turn]:
    def closed(target: Target, requests: Iterator[bytes], units: int, into: list[Throughput]) -> Turn:
        async def turn() -> None:
            seconds = max(units * plan.unit_s - WARM_S, WARM_S)
            into.append(await closed_loop(target, requests, connections=CONNECTIONS, warm_s=WARM_S, seconds=seconds))

        return turn

    async def batches() -> None:
        measured.batch_rows_per_s.append(await references.batch_insert(bench.connection, _BATCHES * plan.unit_s))

    return [
        closed(bench.ours, bench.decisions, _DECISIONS, measured.decisions),
        closed(bench.echo, bench.decisions, _ECHO, measured.echo),
        closed(bench.insert, bench.decisions, _INSERTS, measured.inserts),
        closed(bench.ours, bench.events, _EVENTS, measured.events),
        batches,
    ]


def _latency_turns(bench: _Bench, plan: _Turns, measured: Measured, number: int) -> list[Turn]:
    schedule = arrivals(measured.rate_per_s, _LATENCY * plan.unit_s, workload.SEED + number)

    def opened(target: Target, into: list[Latency]) -> Turn:
        async def turn() -> None:
            into.append(await open_loop(target, bench.decisions, schedule, connections=OPEN_CONNECTIONS_MAX))

        return turn

    return [opened(bench.ours, measured.decision_latencies), opened(bench.insert, measured.insert_latencies)]


async def _must_be_written(connection: Any, measured: Measured) -> None:
    """An answer that was not durable would be the fastest of all."""
    answered = sum(each.answered for each in measured.decisions)
    answered += sum(len(each.latencies_s) - each.failed for each in measured.decision_latencies)
    reported = sum(each.answered for each in measured.events) * workload.EVENTS_PER_REQUEST
    decided = await connection.fetchval("select count(*) from decisions")
    written = await connection.fetchval("select count(*) from events")
    if decided < answered or written < reported:
        raise LostError(f"{answered} decisions answered, {decided} logged; {reported} events taken, {written} written")
