"""`python -m loadtest.faults`: kill -9 at random under load. Exit codes: 0 every promise held, 1 not, 2 wrong usage or no run."""

import argparse
import asyncio
import secrets
import sys
import time
from typing import Final

from loadtest.faults import report, run
from loadtest.faults.caller import Unanswered
from loadtest.faults.installation import NotServedError
from loadtest.faults.load import NotSettledError
from loadtest.faults.recovery import NotRecoveredError
from loadtest.faults.run import Plan
from loadtest.groups import leaves

FULL: Final = (100, 1_200.0)
SHORT: Final = (5, 12.0)


def main() -> None:
    """Runs, tells, and says by the exit code whether every promise held."""
    asked = _arguments()
    kills, seconds = SHORT if asked.short else FULL
    plan = Plan(asked.seed or secrets.token_hex(4), asked.kills or kills, asked.seconds or seconds)
    began = time.monotonic()

    def said(text: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {text}", file=sys.stderr, flush=True)

    try:
        made = asyncio.run(run.run(plan, said))
    except* (NotServedError, NotSettledError, NotRecoveredError, Unanswered) as group:
        print("\n".join(f"faults: {error}" for error in leaves(group)), file=sys.stderr)
        sys.exit(2)
    print(report.as_json(made) if asked.json else report.as_text(made))
    sys.exit(0 if made.is_clean else 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("--short", action="store_true", help="half a minute, as in CI")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    parser.add_argument("--seed", help="draw the schedule of an earlier run again")
    parser.add_argument("--kills", type=int, help="kill so often in all")
    parser.add_argument("--seconds", type=float, help="load for so long")
    return parser.parse_args()


if __name__ == "__main__":
    main()
