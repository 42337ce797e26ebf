"""`python -m loadtest`: loads servers of our own on this machine.

Exit codes: 0 within budgets, 1 not, 2 wrong usage or no run, 3 the generator was late (full form: its waits are not to be believed).
"""

import argparse
import asyncio
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from loadtest import budgets, page, plan, report, run, table
from loadtest.plan import Plan
from loadtest.report import Report
from loadtest.run import LostError, Measured
from loadtest.server import NotServedError
from loadtest.world import NotSetUpError


def main() -> None:
    """Measures, tells, and says by the exit code what came of it."""
    asked = _arguments()
    chosen = plan.QUICK if asked.quick else plan.FULL
    try:
        measured = uvloop.run(_bounded(chosen))
    except (NotServedError, NotSetUpError, LostError, TimeoutError) as error:
        print(f"loadtest: {str(error) or 'it took too long and was given up'}", file=sys.stderr)
        sys.exit(2)
    made = report.report_of(measured, datetime.now(UTC), budgets.read())
    print(table.as_json(made) if asked.json else table.as_text(made))
    if asked.report is not None:
        _write(made, asked.report)
    if asked.write_budgets:
        _store(made)
    sys.exit(_exit_code(made, asked))


def _exit_code(made: Report, asked: argparse.Namespace) -> int:
    if made.late and not asked.quick:
        return 3
    return 1 if made.missed and not asked.write_budgets else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="loadtest", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two minutes: the guarded ratios, waits and overload only")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="write load.html and load.json there, made if it is not there"
    )
    parser.add_argument(
        "--write-budgets",
        action="store_true",
        help="store what was measured in loadtest/budgets.toml; fails on nothing",
    )
    return parser.parse_args()


async def _bounded(chosen: Plan) -> Measured:
    started = time.monotonic()

    def said(text: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {text}", file=sys.stderr, flush=True)

    async with asyncio.timeout(chosen.given_up_after_s):
        return await run.run(chosen, said)


def _write(made: Report, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "load.html").write_text(page.as_html(made))
    (folder / "load.json").write_text(table.as_json(made))


def _store(made: Report) -> None:
    values = {guard.name: guard.value for guard in made.guards}
    budgets.BUDGETS.write_text(budgets.written(budgets.BUDGETS.read_text(), values))


if __name__ == "__main__":
    main()
