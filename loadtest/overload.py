"""Three times what the server carries: what is admitted must not wait much longer, and what is refused must be told soon."""

from statistics import median
from typing import Final

import msgspec
import numpy as np

from loadtest import arrivals, stretch, world
from loadtest.open_loop import Kind, Seen
from loadtest.rounds import Said
from loadtest.stretch import Bench, Stretch

TIMES: Final = 3.0
CONNECTIONS: Final = 2_500
"""More than may wait anywhere in the server: else it would be our own queue that protects it."""


class Overload(msgspec.Struct, frozen=True, kw_only=True):
    """`p99_ratio` is the median over the rounds of the p99 of admitted decisions at three times capacity ÷ that at capacity.

    `refusal_*` are of all refusals at three times, from the scheduled instant; null when nothing was refused; `refusal_p99s_ms` by round.
    `goodput_share` is what was answered at three times ÷ what was answered at capacity.
    """

    capacity_per_s: float
    p99_ratio: float
    goodput_share: float
    refused_share: float
    failed_share: float
    refusal_p50_ms: float | None
    refusal_p99_ms: float | None
    refusal_p99s_ms: list[float]
    refusal_within_20_ms_share: float | None
    without_retry_after: int
    at_capacity: list[Stretch]
    beyond: list[Stretch]


async def measure(bench: Bench, capacity_per_s: float, count: int, turn_s: float, said: Said) -> Overload:
    """`count` rounds of two stretches, `turn_s` seconds each."""
    at_capacity: list[Stretch] = []
    beyond: list[Stretch] = []
    refusals: list[np.ndarray] = []
    for number in range(count):
        said(f"round {number + 1} of {count}: at capacity, then at {TIMES:.0f} times capacity")
        at_capacity.append((await _stretch(bench, "at capacity", capacity_per_s, turn_s, number))[0])
        seen, raw = await _stretch(bench, "three times capacity", TIMES * capacity_per_s, turn_s, number)
        beyond.append(seen)
        refusals.append(raw.latency_s[raw.is_refused])
    waited = np.concatenate(refusals)
    sent = sum(each.kinds["decision"].sent for each in beyond)
    return Overload(
        capacity_per_s=capacity_per_s,
        p99_ratio=median(_p99(over) / _p99(at) for over, at in zip(beyond, at_capacity, strict=True)),
        goodput_share=median(
            over.answered_per_s / at.answered_per_s for over, at in zip(beyond, at_capacity, strict=True)
        ),
        refused_share=len(waited) / sent,
        failed_share=sum(each.kinds["decision"].failed for each in beyond) / sent,
        refusal_p50_ms=1e3 * float(np.quantile(waited, 0.5)) if len(waited) else None,
        refusal_p99_ms=1e3 * float(np.quantile(waited, 0.99)) if len(waited) else None,
        refusal_p99s_ms=[1e3 * float(np.quantile(each, 0.99)) for each in refusals if len(each)],
        refusal_within_20_ms_share=float((waited < 0.02).mean()) if len(waited) else None,
        without_retry_after=sum(each.without_retry_after for each in beyond),
        at_capacity=at_capacity,
        beyond=beyond,
    )


async def _stretch(bench: Bench, name: str, per_s: float, seconds: float, number: int) -> tuple[Stretch, Seen]:
    schedule = arrivals.poisson(per_s, seconds, world.SEED + number)
    kinds = (Kind("decision", 1.0, bench.requests.decisions()),)
    about = f"decisions at {per_s:.0f} a second"
    return await stretch.run(bench, name, about, kinds, schedule, connections=CONNECTIONS, seed=number)


def _p99(told: Stretch) -> float:
    waits = told.kinds["decision"].waits
    return waits.p99_ms if waits else np.inf
