"""`python -m loadtest`: loads a server of our own on this machine. Exit codes: 0 within budgets, 1 not, 2 wrong usage or no run."""

import argparse
import asyncio
import sys
import time
from typing import Final

import uvloop

from loadtest import measure, report, table
from loadtest.measure import LostError, Measured, Plan, TooSlowError
from loadtest.server import NotServedError
from loadtest.workload import NotSetUpError

QUICK_S: Final = 60.0
FULL_S: Final = 240.0
ROUNDS: Final = 3
FULL_ROUNDS: Final = 5
START_MAX_S: Final = 30.0
"""Start and import may take as long before they shorten the turns."""
SLACK_S: Final = 14.0
"""What connecting, waiting for last answers and a busy machine may add; a run that takes longer still is given up.

60 + 30 + 14 leaves 16 s of two minutes for an orderly stop.
"""


def main() -> None:
    """Measures, tells, and says by the exit code whether the budgets hold."""
    asked = _arguments()
    seconds = asked.seconds or (QUICK_S if asked.quick else FULL_S)
    plan = Plan(ROUNDS if asked.quick else FULL_ROUNDS, seconds, seconds + START_MAX_S)
    try:
        measured = uvloop.run(_bounded(plan))
    except (NotServedError, NotSetUpError, TooSlowError, LostError, TimeoutError) as error:
        print(f"loadtest: {str(error) or 'it took too long and was given up'}", file=sys.stderr)
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


async def _bounded(plan: Plan) -> Measured:
    started = time.monotonic()

    def said(text: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {text}", file=sys.stderr, flush=True)

    async with asyncio.timeout(plan.over_after_s + SLACK_S):
        return await measure.run(plan, said)


if __name__ == "__main__":
    main()
