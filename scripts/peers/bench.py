"""`./scripts/bench`: ours beside other libraries on this machine, in tables for people, JSON, or docs/performance.md."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from scripts.peers import batch, library, quality, speed, tables
from scripts.peers.interleaved import Time

PAGE: Final = Path(__file__).parents[2] / "docs" / "performance.md"
RANKS: Final = (41, 90)
CORE: Final = max(os.sched_getaffinity(0))


def main() -> None:
    """Runs the parts asked for, one after the other."""
    asked = _arguments()
    for name in library.NAMES:
        print(f"{name} {library.version_of(name) or 'is not installed: left out'}", file=sys.stderr)
    found: dict[str, Any] = {}
    for part in asked.part or PARTS:
        found[part], text = PARTS[part](asked)
        if asked.write:
            tables.write(PAGE, part, text)
        if not asked.json:
            print(f"\n{text}", flush=True)
    if asked.json:
        print(json.dumps(found))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few minutes: two seeds of 2,000 rounds")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="only this; may be repeated")
    parser.add_argument("--seeds", type=int, default=20, help="of the part quality (20)")
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _speed(asked: argparse.Namespace) -> tuple[Any, str]:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CORE})
    found = speed.table(15 if asked.quick else 101)
    os.sched_setaffinity(0, allowed)
    rows = [_time_row(what, name, one) for what, times in found.items() for name, one in times.items()]
    told = {
        what: {name: {"us": 1e6 * one.seconds, "ratio": one.ratio} for name, one in times.items()}
        for what, times in found.items()
    }
    return told, tables.table(("", "µs", "x ours"), rows)


def _time_row(what: str, name: str, one: Time) -> tuple[str, ...]:
    return f"{what}: {name}", f"{1e6 * one.seconds:,.1f}", f"{one.ratio:,.1f}"


def _batch(asked: argparse.Namespace) -> tuple[Any, str]:
    found = batch.measure_all(3 if asked.quick else 15)
    rows = [(name, f"{1e3 * one.seconds:,.0f}", f"{one.ratio:,.2f}") for name, one in found.items()]
    told = {name: {"ms": 1e3 * one.seconds, "ratio": one.ratio} for name, one in found.items()}
    return told, tables.table(("", "ms", "x ours"), rows)


def _quality(asked: argparse.Namespace) -> tuple[Any, str]:
    seeds = range(asked.first_seed, asked.first_seed + (2 if asked.quick else asked.seeds))
    found = quality.compare(RANKS, 2_000 if asked.quick else 10_000, seeds, len(os.sched_getaffinity(0)))
    rows = [
        (name, f"{one.mean:.4f}", f"{one.first:.4f}", f"{one.gain:+.4f}", f"{one.low:+.4f} … {one.high:+.4f}")
        for name, one in found.items()
    ]
    head = ("", "mean reward", "first 1,000", "ours less this", "95 %")
    return {name: one._asdict() for name, one in found.items()}, tables.table(head, rows)


PARTS: Final[dict[str, Callable[[argparse.Namespace], tuple[Any, str]]]] = {
    "speed": _speed,
    "batch": _batch,
    "quality": _quality,
}

if __name__ == "__main__":
    main()
