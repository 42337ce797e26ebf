"""How throughput grows with the machine: an installation with all its processes on one core, and on all cores, in turn."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from statistics import median

import msgspec

from loadtest import processes, rounds
from loadtest.closed_loop import Throughput
from loadtest.server import Served
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
        with held_on(bench.served, {min(cores)}):
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


@contextlib.contextmanager
def held_on(served: Served, cores: Iterable[int]) -> Iterator[None]:
    """All processes of an installation, its PostgreSQL's too, on these cores, and where we ourselves may run afterwards."""
    everywhere = os.sched_getaffinity(0)
    _allow(served, cores)
    try:
        yield
    finally:
        _allow(served, everywhere)


def _allow(served: Served, cores: Iterable[int]) -> None:
    for thread in processes.threads(served.supervisor_pid, served.postgres_pid):
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
            os.sched_setaffinity(thread, cores)
