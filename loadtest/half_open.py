"""How long a decision takes at half of saturation beside clients that begin and do not end, and how long those may stay."""

import math
from functools import partial
from statistics import median
from typing import Final

import msgspec

from loadtest import arrivals, half, stretch, world
from loadtest.arrivals import F64
from loadtest.crowd import Crowd
from loadtest.open_loop import Seen
from loadtest.rounds import Said, Turn, in_turn
from loadtest.stretch import Bench, Driver
from loadtest.waits import Waits, waits_of

CLIENTS: Final = 1_000
DEADLINE_S: Final = 10.0
"""What the server gives a request to arrive (docs/overload.md)."""


class HalfOpen(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions `alone` and `beside` the half-open clients, of all rounds together, but for the ratio: the median of the rounds' own.

    At least `fewest` of the `clients` were there all the time. The server closed `closed` of them, the first after `soonest_close_s`, the
    last after `longest_close_s`; who was still there beyond the deadline when a turn ended counts for the longest.
    """

    clients: int
    per_s: float
    alone: Waits
    beside: Waits
    alone_failed: int
    beside_failed: int
    p99_ratio: float
    p99_ratios: list[float]
    fewest: int
    closed: int
    soonest_close_s: float | None
    longest_close_s: float | None
    drivers: list[Driver]


async def measure(bench: Bench, per_s: float, count: int, turn_s: float, said: Said) -> HalfOpen:
    """`count` rounds of two turns, `turn_s` seconds each; the crowd stays from one turn beside it to the next, where none is between."""
    crowd = Crowd(bench.served.port, next(bench.requests.decisions()), CLIENTS)
    alone: list[Seen] = []
    beside: list[Seen] = []
    try:
        for number in range(count):
            said(f"round {number + 1} of {count}: {per_s:.0f}/s without and with {CLIENTS:,} half-open clients")
            schedule = arrivals.poisson(per_s, turn_s, world.SEED + number)
            turns = [
                partial(_turn, crowd.go, bench, schedule, alone),
                partial(_turn, crowd.gather, bench, schedule, beside),
            ]
            await in_turn(turns, number)
    finally:
        await crowd.go()
    return _told(per_s, alone, beside, crowd)


async def _turn(before: Turn, bench: Bench, schedule: F64, into: list[Seen]) -> None:
    await before()
    await half.turn(bench, bench.target(), schedule, into)


def _told(per_s: float, alone: list[Seen], beside: list[Seen], crowd: Crowd) -> HalfOpen:
    ratios = [_ratio(these, those) for these, those in zip(alone, beside, strict=True)]
    overdue_s = [age_s for age_s in crowd.stayed_s if age_s > DEADLINE_S]
    return HalfOpen(
        clients=crowd.size,
        per_s=per_s,
        alone=waits_of(half.together(alone)),
        beside=waits_of(half.together(beside)),
        alone_failed=half.failed(alone),
        beside_failed=half.failed(beside),
        p99_ratio=median(ratios),
        p99_ratios=ratios,
        fewest=crowd.fewest,
        closed=len(crowd.closed_s),
        soonest_close_s=min(crowd.closed_s, default=None),
        longest_close_s=max([*crowd.closed_s, *overdue_s], default=None),
        drivers=[stretch.driver_of(seen) for seen in (*alone, *beside)],
    )


def _ratio(alone: Seen, beside: Seen) -> float:
    """A round in which more than a hundredth failed also without them says nothing good of them."""
    p99_s = half.p99(alone)
    return half.p99(beside) / p99_s if math.isfinite(p99_s) else math.inf
