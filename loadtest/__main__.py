"""`python -m loadtest`: loads a server of our own on this machine. Exit codes: 0 within budgets, 1 not, 2 wrong usage or no run."""

import argparse
import asyncio
import sys
from typing import Final

import uvloop

from loadtest import measure, report, table
from loadtest.measure import LostError, Measured, Plan
from loadtest.server import NotServedError
from loadtest.workload import NotSetUpError

QUICK_S: Final = 66.0
FULL_S: Final = 240.0
ROUNDS: Final = 3
FULL_ROUNDS: Final = 5
AROUND_MAX_S: Final = 38.0
"""Start, set-up and the waits between rounds; a run that takes longer is given up, and stopping has its own bound."""


def main() -> None:
    """Measures, tells, and says by the exit code whether the budgets hold."""
    asked = _arguments()
    seconds = asked.seconds or (QUICK_S if asked.quick else FULL_S)
    plan = measure.plan_of(seconds, ROUNDS if asked.quick else FULL_ROUNDS)
    try:
        measured = uvloop.run(_bounded(plan, seconds + AROUND_MAX_S))
    except (NotServedError, NotSetUpError, LostError, TimeoutError) as error:
        print(f"loadtest: {error or 'took too long, given up'}", file=sys.stderr)
        sys.exit(2)
    made = report.report_of(measured, report.read_budgets())
    print(table.as_json(made) if asked.json else table.as_text(made))
    sys.exit(1 if made.missed else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="loadtest", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two minutes at most, start and stop included")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    parser.add_argument("--seconds", type=float, help="measure for so long in all")
    return parser.parse_args()


async def _bounded(plan: Plan, seconds: float) -> Measured:
    async with asyncio.timeout(seconds):
        return await measure.run(plan, lambda text: print(text, file=sys.stderr, flush=True))


if __name__ == "__main__":
    main()
