"""How throughput grows with the machine: an installation with all its processes on one core, and on all cores, in turn."""

import os
from statistics import median

import msgspec

from loadtest import affinity, rounds
from loadtest.closed_loop import Throughput
from loadtest.stretch import Bench


class Cores(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions a second on one core and on all `count` of the machine, medians over the rounds; `ratio` is taken within each round.

    The generator is free in both cases: it has cores of its own in the first and shares them in the second.
    """

    count: int
    one_per_s: float
    all_per_s: float
    ratio: float


async def measure(bench: Bench, count: int, turn_s: float) -> Cores | None:
    """`count` rounds of two closed loops of decisions; None where there is one core alone."""
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        return None
    held: list[Throughput] = []
    free: list[Throughput] = []
    alone = rounds.closed(bench, bench.target(), bench.requests.decisions(), turn_s, held)

    async def on_one() -> None:
        with affinity.held((bench.served.supervisor_pid, bench.served.postgres_pid), {min(cores)}):
            await alone()

    turns = [on_one, rounds.closed(bench, bench.target(), bench.requests.decisions(), turn_s, free)]
    for number in range(count):
        await rounds.in_turn(turns, number)
    return Cores(
        count=len(cores),
        one_per_s=median(each.per_s for each in held),
        all_per_s=median(each.per_s for each in free),
        ratio=median(every.per_s / one.per_s for one, every in zip(held, free, strict=True)),
    )
