"""`./scripts/bench`: ours beside other libraries on this machine, in tables for people, JSON, or docs/performance.md."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from bandits.learners import build
from bandits.simulation.worlds.all_worlds import WORLDS
from scripts.peers import batch, commands, digits, library, personal, quality, speed, tables
from scripts.peers.interleaved import Time

PAGE: Final = Path(__file__).parents[2] / "docs" / "performance.md"
RANKS: Final = (41, 90)
HOUSEHOLDS: Final = 600
SALTS: Final = ("0", "1", "2", "3", "4")
DIGIT_SEEDS: Final = 5
DIGIT_PLAYERS: Final = (build.GENERIC_DEFAULT, "linear_thompson", "uniform")
PLAN_USERS: Final = (100_000, 300_000, 1_000_000)
CORE: Final = max(os.sched_getaffinity(0))


def main() -> None:
    """Runs the parts asked for, one after the other."""
    asked = _arguments()
    for name in library.NAMES:
        print(f"{name} {library.version_of(name) or 'is not installed: left out'}", file=sys.stderr)
    found: dict[str, Any] = {}
    for part in asked.part or USUAL:
        found[part], text = PARTS[part](asked)
        if asked.write and part not in UNWRITTEN:
            tables.write(PAGE, part, text)
        if not asked.json:
            print(f"\n{text}", flush=True)
    if asked.json:
        print(json.dumps(found))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few minutes: two seeds of 2,000 rounds")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="only this; may be repeated")
    parser.add_argument("--seeds", type=int, default=20, help="of the parts quality and personal (20)")
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument(
        "--library", action="append", choices=library.NAMES, help="of quality and settings; may be repeated"
    )
    parser.add_argument("--keep", type=Path, help="a file of what was played already, taken up and added to")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--salt", action="append", help="of the part demo; may be repeated (0 to 4)")
    parser.add_argument("--world", action="append", help="of the part simulate; may be repeated (all)")
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
    found = quality.compare(_rounds(asked, range(asked.first_seed, asked.first_seed + asked.seeds)))
    rows = [
        (
            name,
            f"{one.mean:.4f}",
            f"{one.first:.4f}",
            f"{one.gain:+.4f}",
            f"{one.low:+.4f} … {one.high:+.4f}",
            str(one.ahead),
        )
        for name, one in found.items()
    ]
    head = ("", "mean reward", "first 1,000", "ours less this", "95 %", "seeds where ours is ahead")
    return {name: one._asdict() for name, one in found.items()}, tables.table(head, rows)


def _settings(asked: argparse.Namespace) -> tuple[Any, str]:
    found = quality.search(_rounds(asked, quality.SEARCHED))
    means = {name: (fmean(one.mean for one in each), fmean(one.first for one in each)) for name, each in found.items()}
    order = sorted(found, key=lambda name: (-len(found[name]), -means[name][0]))
    rows = [(name, str(len(found[name])), *(f"{one:.4f}" for one in means[name])) for name in order]
    head = ("", "seeds", "mean reward", "first 1,000")
    return {name: [one._asdict() for one in each] for name, each in found.items()}, tables.table(head, rows)


def _digits(asked: argparse.Namespace) -> tuple[Any, str]:
    seeds = range(1 if asked.quick else DIGIT_SEEDS)
    found = {name: digits.earned(name, seeds) for name in DIGIT_PLAYERS}
    rows = [(name, f"{fmean(each):.4f}", f"{min(each):.4f} … {max(each):.4f}") for name, each in found.items()]
    return found, tables.table((f"{len(seeds)} orders of the pictures", "mean reward", "from … to"), rows)


def _personal(asked: argparse.Namespace) -> tuple[Any, str]:
    seeds = range(asked.first_seed, asked.first_seed + (2 if asked.quick else asked.seeds))
    found = personal.measure(100 if asked.quick else HOUSEHOLDS, seeds, asked.processes)
    rows = [
        (
            name,
            f"{one.without:.4f}",
            f"{one.with_layer:.4f}",
            f"{one.gain.value:+.4f}",
            f"{one.gain.low:+.4f} … {one.gain.high:+.4f}",
        )
        for name, one in found.items()
    ]
    head = (f"{len(seeds)} seeds", "without", "with", "gain", "95 %")
    return {name: one._asdict() for name, one in found.items()}, tables.table(head, rows)


def _demo(asked: argparse.Namespace) -> tuple[Any, str]:
    size = ("--households", "60", "--weeks", "4") if asked.quick else ()
    salts = asked.salt or (SALTS[:1] if asked.quick else SALTS)
    found = {salt: commands.welltimed("demo", "--headless", "--salt", salt, *size) for salt in salts}
    return found, tables.table(commands.DEMO_HEAD, commands.demo_rows(found))


def _simulate(asked: argparse.Namespace) -> tuple[Any, str]:
    size = ("--scale", "0.2") if asked.quick else ()
    found = {world: commands.welltimed("simulate", world, *size) for world in asked.world or WORLDS}
    return found, tables.table(commands.CLAIMS_HEAD, commands.claim_rows(found))


def _push(asked: argparse.Namespace) -> tuple[Any, str]:
    found = commands.welltimed("bench", "push", "--messages", "2000" if asked.quick else "20000")
    return found, tables.table(commands.PUSH_HEAD, commands.push_rows(found))


def _plan(asked: argparse.Namespace) -> tuple[Any, str]:
    sizes = PLAN_USERS[:1] if asked.quick else PLAN_USERS
    found = [commands.welltimed("bench", "plan", "--users", str(users)) for users in sizes]
    planned = tables.table(commands.PLAN_HEAD, commands.plan_rows(found))
    drawn = tables.table(commands.DRAW_HEAD, commands.draw_rows(found))
    return found, f"{planned}\n\nDrawing them (see the next section):\n\n{drawn}"


def _rounds(asked: argparse.Namespace, seeds: range) -> quality.Asked:
    count = 2_000 if asked.quick else 10_000
    shown = seeds[:2] if asked.quick else seeds
    return quality.Asked(RANKS, count, shown, asked.library or library.NAMES, asked.keep, asked.processes)


PARTS: Final[dict[str, Callable[[argparse.Namespace], tuple[Any, str]]]] = {
    "speed": _speed,
    "batch": _batch,
    "quality": _quality,
    "digits": _digits,
    "personal": _personal,
    "demo": _demo,
    "simulate": _simulate,
    "push": _push,
    "plan": _plan,
    "settings": _settings,
}
USUAL: Final = ("speed", "batch", "quality", "digits", "personal", "demo", "simulate", "push", "plan")
UNWRITTEN: Final = ("settings", "simulate")

if __name__ == "__main__":
    main()
