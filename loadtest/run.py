"""One run from start to end: a server with a shop, the references beside it, every part in its turn, everything removed."""

import os
import time
from contextlib import AsyncExitStack
from statistics import median
from typing import Final, NamedTuple

from loadtest import (
    beside,
    half,
    half_open,
    overload,
    punctual,
    references,
    requests,
    rounds,
    saturation,
    server,
    wire,
    workloads,
    world,
)
from loadtest.beside import Scale, TwoWorkers
from loadtest.half import Half
from loadtest.half_open import HalfOpen
from loadtest.overload import Overload
from loadtest.plan import EXPECTED_START_S, Plan
from loadtest.punctual import Punctual
from loadtest.rounds import References, Rounds, Said
from loadtest.saturation import Saturation
from loadtest.stretch import Bench, Stretch
from loadtest.workloads import Cold, Import, Viral

CARRIED: Final = 0.75
"""Of what a closed loop gets, an open one is carried by about so much: connections that wait for each other do not come in heaps."""
LOOKED_AT: Final = 50
HALF: Final = 0.5
BESIDE: Final = 1.5
"""Turns of two servers beside each other are longer: a large world is read from more places."""
TWO_WORKERS_S: Final = 150.0
CITY_S: Final = 200.0
"""What they take, servers and seeding included, on a machine with nothing else to do, and some slack."""


class LostError(Exception):
    """The server answered for more than it wrote."""


class Measured(NamedTuple):
    """What was seen; None is a part that the plan leaves out. `load_before` is the load average before anything of ours was started."""

    plan: Plan
    rounds: Rounds
    capacity_per_s: float
    saturation: Saturation | None
    half: Half
    half_open: HalfOpen | None
    punctual: Punctual
    overload: Overload
    flood: Stretch | None
    viral: Viral | None
    cold: Cold | None
    importing: Import | None
    two_workers: TwoWorkers | None
    scale: Scale | None
    load_before: float
    seconds: float


async def run(plan: Plan, said: Said) -> Measured:
    """Measures along the plan; `said` is told how far it is.

    Raises:
        NotServedError: the server did not start.
        NotSetUpError: it refused the offers or the past of the people.
        LostError: it answered for more than it wrote.
    """
    started, load_before = time.monotonic(), os.getloadavg()[0]
    async with AsyncExitStack() as stack:
        bench = await stack.enter_async_context(beside.bench_of(plan.town, 1, said))
        await references.make_tables(bench.connection)
        answer_bytes = await _look_at_answers(bench)
        others = References(
            *[
                await stack.enter_async_context(references.running(name, answer_bytes, bench.served.dsn))
                for name in References._fields
            ]
        )
        short = plan.shortened(time.monotonic() - started, EXPECTED_START_S)
        measured = await _measure(bench, others, short, said)
        measured = await _others(bench, short, measured, said, started + plan.over_after_s)
        said("stopping")
    return measured._replace(load_before=load_before, seconds=time.monotonic() - started)


async def _look_at_answers(bench: Bench) -> int:
    """The median size of an answer, in bytes."""
    sizes, caller = [], bench.requests.caller
    for body in bench.requests.decision_bodies(LOOKED_AT):
        status, answer = await wire.ask(caller.port, caller.post("/v1/decisions", body))
        if status != wire.OK:
            raise world.NotSetUpError(f"decisions: {status} {answer[:500]!r}")
        sizes.append(len(answer))
    return int(median(sizes))


async def _measure(bench: Bench, others: References, plan: Plan, said: Said) -> Measured:
    seen = await rounds.take(bench, others, plan.rounds, plan.turn_s, said)
    closed_per_s = median(each.per_s for each in seen.decisions)
    await server.checkpoint(bench.served)
    found = await saturation.find(bench, closed_per_s, plan.step_s, said) if plan.step_s else None
    capacity = found.per_s if found else CARRIED * closed_per_s
    at_half = HALF * min(capacity, median(each.per_s for each in seen.inserts))
    await rounds.caught_up(bench.connection)
    await server.checkpoint(bench.served)
    waits = await half.measure(bench, others, at_half, plan.half_rounds, plan.half_s, said)
    crowded = None
    if plan.half_open_rounds:
        crowded = await half_open.measure(bench, at_half, plan.half_open_rounds, plan.half_open_s, said)
    said("the generator against the bare echo")
    proof = await punctual.measure(bench, others.echo, overload.TIMES * capacity, plan.punctual_s)
    over = await overload.measure(bench, capacity, plan.overload_rounds, plan.overload_s, said)
    await _must_be_written(bench, seen)
    measured = Measured(
        plan,
        seen,
        capacity,
        found,
        waits,
        crowded,
        proof,
        over,
        None,
        None,
        None,
        None,
        None,
        None,
        load_before=0.0,
        seconds=0.0,
    )
    if plan.workload_s:
        measured = await _workloads(bench, plan, measured, said)
    return measured


async def _workloads(bench: Bench, plan: Plan, measured: Measured, said: Said) -> Measured:
    capacity = measured.capacity_per_s
    said("workload: the flood after a push")
    flood = await workloads.flood(bench, capacity, plan.workload_s)
    said("workload: an offer everybody wants")
    viral = await workloads.viral(bench, capacity, plan.workload_s)
    said("workload: a worker that starts anew")
    cold = await workloads.cold(bench, capacity, plan.workload_s / 2)
    return measured._replace(flood=flood, viral=viral, cold=cold)


async def _others(bench: Bench, plan: Plan, measured: Measured, said: Said, ends: float) -> Measured:
    """What needs a server of its own, and the import, which comes last: the catalogue is larger afterwards.

    A part that would not be over by `ends` is left out, rather than all be lost.
    """

    def has_time(name: str, needs_s: float) -> bool:
        if time.monotonic() + needs_s <= ends:
            return True
        said(f"left out, too little time: {name}")
        return False

    turn_s = BESIDE * plan.turn_s
    if plan.two_workers_rounds and has_time("two workers", TWO_WORKERS_S):
        pair = await beside.two_workers(bench, plan.two_workers_rounds, turn_s, said)
        measured = measured._replace(two_workers=pair)
    if plan.city_rounds and has_time("a large world", CITY_S):
        grown = await beside.scale(bench, plan.city, plan.city_rounds, turn_s, said)
        measured = measured._replace(scale=grown)
    if plan.import_rows and has_time("import", 2 * plan.workload_s):
        said(f"workload: {plan.import_rows} offers imported under traffic")
        imported = await workloads.importing(bench, measured.capacity_per_s, plan.import_rows, plan.workload_s)
        measured = measured._replace(importing=imported)
    return measured


async def _must_be_written(bench: Bench, seen: Rounds) -> None:
    """An answer that was not durable would be the fastest of all."""
    answered = sum(each.answered for each in seen.decisions)
    reported = sum(each.answered for each in seen.events) * requests.EVENTS_PER_REQUEST
    decided = await bench.connection.fetchval("select count(*) from decisions")
    written = await bench.connection.fetchval("select count(*) from events")
    if decided < answered or written < reported:
        raise LostError(f"{answered} decisions answered, {decided} logged; {reported} events taken, {written} written")
