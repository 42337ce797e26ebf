"""Where a server saturates: open-loop steps of decisions at growing rates, until one is not carried any more."""

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
    """Steps up from half of `around_per_s`, until one is not carried twice."""
    steps: list[Step] = []
    for share in SHARES:
        for _ in range(TRIES):
            steps.append(await _step(bench, share * around_per_s, step_s, len(steps)))
            said(f"step {steps[-1].per_s:.0f}/s: median {steps[-1].end_median_ms:.1f} ms at its end")
            if steps[-1].is_carried:
                break
        else:
            break
    for share in LOWER_SHARES:
        if any(step.is_carried for step in steps):
            break
        steps.append(await _step(bench, share * around_per_s, step_s, len(steps)))
    carried = [step.per_s for step in steps if step.is_carried]
    return Saturation(
        per_s=max(carried) if carried else min(step.per_s for step in steps), is_found=bool(carried), steps=steps
    )


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
