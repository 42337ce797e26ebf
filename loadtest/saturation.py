"""Where a server saturates: open-loop steps of decisions at growing rates, until one is not carried any more."""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import numpy as np

from loadtest import arrivals, stretch, world
from loadtest.open_loop import Kind
from loadtest.rounds import Said
from loadtest.stretch import Bench

SHARES: Final = (0.5, 0.65, 0.8, 0.9, 1.0, 1.1, 1.25)
"""Of what the closed loop got out of it."""
LOWER_SHARES: Final = (0.35, 0.25, 0.15)
"""Tried, downwards, when not even the first is carried."""
GOOD_SHARE_MIN: Final = 0.999
MEDIAN_MAX_MS: Final = 50.0
"""In the last third of a step: a queue that grows is far beyond it soon, and a stall of the disk does not move a median."""
TRIES: Final = 2
HALVINGS: Final = 2
"""Of the distance between the highest step that is carried and the lowest that is not: a capacity that is told too low makes what comes at it wait
for nothing, and what comes at three times that seem to wait for long."""
CONNECTIONS: Final = 512


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One rate that was tried. `is_carried`: all but a thousandth answered well, and no queue grew."""

    per_s: float
    answered_per_s: float
    p50_ms: float
    p99_ms: float
    end_median_ms: float
    is_carried: bool


class Saturation(msgspec.Struct, frozen=True, kw_only=True):
    """The highest rate that was carried, in arrivals a second, and the steps in the order in which they were tried; one that was not
    carried is tried once more, for a stall of the machine is not the server's limit.

    `is_found` is false when none was carried: then `per_s` is the lowest that was tried.
    """

    per_s: float
    is_found: bool
    steps: list[Step]


async def find(bench: Bench, around_per_s: float, step_s: float, said: Said) -> Saturation:
    """Steps up from half of `around_per_s`, until one is not carried twice; then between that one and the one before."""
    steps: list[Step] = []

    async def is_carried(per_s: float, tries: int) -> bool:
        for _ in range(tries):
            steps.append(await _step(bench, per_s, step_s, len(steps)))
            said(f"step {per_s:.0f}/s: median {steps[-1].end_median_ms:.1f} ms at its end")
            if steps[-1].is_carried:
                return True
        return False

    highest = None
    for share in SHARES:
        if not await is_carried(share * around_per_s, TRIES):
            if highest is not None:
                highest = await _between(highest, share * around_per_s, is_carried)
            break
        highest = share * around_per_s
    for share in LOWER_SHARES if highest is None else ():
        if await is_carried(share * around_per_s, 1):
            highest = share * around_per_s
            break
    return Saturation(
        per_s=min(step.per_s for step in steps) if highest is None else highest,
        is_found=highest is not None,
        steps=steps,
    )


async def _between(carried: float, not_carried: float, is_carried: Callable[[float, int], Awaitable[bool]]) -> float:
    """The highest rate that is carried, to a quarter of the distance of the two."""
    for _ in range(HALVINGS):
        middle = (carried + not_carried) / 2
        if await is_carried(middle, TRIES):
            carried = middle
        else:
            not_carried = middle
    return carried


async def _step(bench: Bench, per_s: float, seconds: float, number: int) -> Step:
    schedule = arrivals.poisson(per_s, seconds, world.SEED + number)
    kinds = (Kind("decision", 1.0, bench.requests.decisions()),)
    seen, raw = await stretch.run(bench, "step", "", kinds, schedule, connections=CONNECTIONS, seed=number)
    waits = stretch.admitted_s(raw, "decision")
    answers = seen.kinds["decision"]
    end_median_ms = 1e3 * float(np.median(waits[-max(len(waits) // 3, 1) :])) if len(waits) else np.inf
    return Step(
        per_s=per_s,
        answered_per_s=seen.answered_per_s,
        p50_ms=answers.waits.p50_ms if answers.waits else np.inf,
        p99_ms=answers.waits.p99_ms if answers.waits else np.inf,
        end_median_ms=end_median_ms,
        is_carried=answers.answered >= GOOD_SHARE_MIN * answers.sent and end_median_ms <= MEDIAN_MAX_MS,
    )
