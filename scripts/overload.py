"""What one API worker does at and beyond its limit: about a minute.

`PYTHONPATH=. python scripts/overload.py [--seconds 5]`. `./scripts/load` has the run at three times the capacity in full; this one is short.
Latency counts from the scheduled instant, of a refusal too.
"""

import argparse
import asyncio
import sys
from typing import Final

import numpy as np
import uvloop

from loadtest import arrivals, beside, plan, world
from loadtest.arrivals import F64
from loadtest.closed_loop import closed_loop
from loadtest.open_loop import Kind, Seen, open_loop

CONNECTIONS: Final = 1_500


def _quantiles(seconds: F64) -> str:
    if not len(seconds):
        return "      -       -"
    return " ".join(f"{1e3 * float(np.quantile(seconds, share, method='higher')):7.1f}" for share in (0.5, 0.99))


def _line(name: str, seen: Seen, seconds: float) -> str:
    answered, refused = seen.is_good, seen.is_refused
    other = len(answered) - int(answered.sum()) - int(refused.sum())
    return (
        f"{name:30s} {len(answered) / seconds:9.0f} {answered.sum() / seconds:10.0f} {_quantiles(seen.latency_s[answered])}"
        f" {refused.mean():8.0%} {_quantiles(seen.latency_s[refused])} {other:6d}"
    )


async def _measure(seconds: float) -> None:
    async with beside.bench_of(plan.QUICK.town, 1, lambda told: print(told, file=sys.stderr)) as bench:
        can = await closed_loop(
            bench.target(),
            bench.requests.decisions(),
            database=bench.connection,
            connections=48,
            warm_s=2.0,
            seconds=seconds,
        )
        print(f"capacity: {can.per_s:.0f} decisions a second")
        print(f"{'':30s}     asked   answered  p50 ms  p99 ms  refused  p50 ms  p99 ms  other")

        async def play(name: str, share: float) -> None:
            schedule = arrivals.poisson(share * can.per_s, seconds, world.SEED)
            kinds = (Kind("decision", 1.0, bench.requests.decisions()),)
            seen = await open_loop(bench.target(), kinds, schedule, connections=CONNECTIONS, seed=1)
            print(_line(name, seen, seconds), flush=True)
            await asyncio.sleep(1.0)

        for _ in range(2):
            await play("capacity", 1.0)
            await play("3 x capacity", 3.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each part")
    uvloop.run(_measure(parser.parse_args().seconds))
