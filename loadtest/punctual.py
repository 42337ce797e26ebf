"""Proof that the generator is not the bottleneck: the bare echo at the highest rate that is told of anything."""

from typing import Final

import msgspec

from loadtest import arrivals, stretch, world
from loadtest.open_loop import Kind, open_loop
from loadtest.stretch import Bench, Driver
from loadtest.target import Target

CONNECTIONS: Final = 256


class Punctual(msgspec.Struct, frozen=True, kw_only=True):
    """What the echo answered of what arrived, and the generator's own part of it."""

    per_s: float
    answered_per_s: float
    echo_p50_ms: float
    echo_p99_ms: float
    driver: Driver


async def measure(bench: Bench, echo: Target, per_s: float, seconds: float) -> Punctual:
    """One stretch of the same requests as the server's."""
    schedule = arrivals.poisson(per_s, seconds, world.SEED)
    kinds = (Kind("decision", 1.0, bench.requests.decisions()),)
    seen = await open_loop(echo, kinds, schedule, connections=CONNECTIONS, seed=1)
    waits = stretch.answers_of(seen, "decision").waits
    return Punctual(
        per_s=len(schedule) / float(schedule[-1]),
        answered_per_s=float(seen.is_good.sum()) / float(schedule[-1]),
        echo_p50_ms=waits.p50_ms if waits else float("inf"),
        echo_p99_ms=waits.p99_ms if waits else float("inf"),
        driver=stretch.driver_of(seen),
    )
