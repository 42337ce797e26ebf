"""`python -m loadtest.soak`: days of traffic on a hastened clock. Exit codes: 0 every claim held, 1 not, 2 wrong usage or no run."""

import argparse
import sys
import time
from pathlib import Path
from typing import Final

import uvloop

from loadtest.faults.caller import Unanswered
from loadtest.faults.installation import NotServedError
from loadtest.groups import leaves
from loadtest.soak import report, run
from loadtest.soak.plan import FULL, SHORT, NoRoomError, Plan
from loadtest.world import NotSetUpError

_NO_RUN: Final = (NoRoomError, NotServedError, NotSetUpError, Unanswered)


def main() -> None:
    """Runs, tells, and says by the exit code whether every claim held."""
    asked = _arguments()
    plan = _plan(asked)
    began = time.monotonic()

    def said(text: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {text}", file=sys.stderr, flush=True)

    said(f"seed {plan.seed}: {plan.events:,} events over {plan.days:g} days in {plan.minutes:g} min")
    try:
        made = uvloop.run(run.run(plan, said))
    except* _NO_RUN as group:
        print("\n".join(f"soak: {error}" for error in leaves(group)), file=sys.stderr)
        sys.exit(2)
    if asked.report:
        asked.report.write_text(report.as_text(made) + "\n")
    print(report.as_json(made) if asked.json else report.as_text(made))
    sys.exit(0 if made.is_clean else 1)


def _plan(asked: argparse.Namespace) -> Plan:
    told = {name: getattr(asked, name) for name in ("events", "days", "minutes", "minutes_max", "people")}
    form = SHORT if asked.short else FULL
    return form._replace(seed=asked.seed or run.new_seed(), **{name: value for name, value in told.items() if value})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--short", action="store_true", help="about a minute, as in CI")
    parser.add_argument("--events", type=int, help="tell so many events in all")
    parser.add_argument(
        "--days", type=float, help="over so many days of the product's clock, beginning on a Monday at 0:00"
    )
    parser.add_argument("--minutes", type=float, help="which go by in so many real minutes")
    parser.add_argument("--minutes-max", type=float, help="stop after so many and judge what was reached")
    parser.add_argument("--people", type=int, help="so many people take part")
    parser.add_argument("--seed", help="draw the traffic of an earlier run again")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    parser.add_argument("--report", type=Path, help="also write them as Markdown to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
