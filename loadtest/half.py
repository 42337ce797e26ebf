"""How long a decision takes at half of saturation, beside an application that does one durable INSERT at the same arrivals."""

from functools import partial
from statistics import median
from typing import Final

import msgspec
import numpy as np

from loadtest import arrivals, stretch, world
from loadtest.arrivals import F64
from loadtest.open_loop import Kind, Seen, open_loop
from loadtest.rounds import References, Said, in_turn
from loadtest.stretch import Bench, Driver
from loadtest.target import Target
from loadtest.waits import Waits, quantile, waits_of

CONNECTIONS: Final = 256


class Half(msgspec.Struct, frozen=True, kw_only=True):
    """All rounds together, but for the ratio: the median of the rounds' own. `insert_failed` are the reference's."""

    per_s: float
    decision: Waits
    insert: Waits
    failed: int
    insert_failed: int
    p99_ratio_to_insert: float
    p99_ratios: list[float]
    drivers: list[Driver]


async def measure(bench: Bench, beside: References, per_s: float, count: int, turn_s: float, said: Said) -> Half:
    """`count` rounds of two turns, `turn_s` seconds each."""
    ours: list[Seen] = []
    inserts: list[Seen] = []
    for number in range(count):
        said(f"round {number + 1} of {count}: how long one waits at {per_s:.0f}/s, ours and the INSERT's")
        schedule = arrivals.poisson(per_s, turn_s, world.SEED + number)
        turns = [
            partial(turn, bench, bench.target(), schedule, ours),
            partial(turn, bench, beside.insert, schedule, inserts),
        ]
        await in_turn(turns, number)
    ratios = [p99(mine) / p99(theirs) for mine, theirs in zip(ours, inserts, strict=True)]
    return Half(
        per_s=per_s,
        decision=waits_of(together(ours)),
        insert=waits_of(together(inserts)),
        failed=failed(ours),
        insert_failed=failed(inserts),
        p99_ratio_to_insert=median(ratios),
        p99_ratios=ratios,
        drivers=[stretch.driver_of(seen) for seen in (*ours, *inserts)],
    )


async def turn(bench: Bench, target: Target, schedule: F64, into: list[Seen]) -> None:
    """Decisions along the schedule, over CONNECTIONS connections; what was seen is put into `into`."""
    kinds = (Kind("decision", 1.0, bench.requests.decisions()),)
    into.append(await open_loop(target, kinds, schedule, connections=CONNECTIONS, seed=1))


def _waits(seen: Seen) -> F64:
    """A refusal below saturation is a failure: a wait without end."""
    return np.where(seen.is_good, seen.latency_s, np.inf)


def together(rounds: list[Seen]) -> F64:
    """The waits of all rounds, in seconds."""
    return np.concatenate([_waits(seen) for seen in rounds])


def failed(rounds: list[Seen]) -> int:
    """How many were not answered as they should be."""
    return sum(int((~seen.is_good).sum()) for seen in rounds)


def p99(seen: Seen) -> float:
    """In seconds."""
    return quantile(_waits(seen), 0.99)
