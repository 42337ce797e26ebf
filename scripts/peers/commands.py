"""What `welltimed demo` and `welltimed simulate` tell, in tables: each is started as anybody would, and its JSON read."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
PYTHON: Final = ROOT / ".venv" / "bin" / "python"

Told = Mapping[str, Any]


class Column(NamedTuple):
    """A ratio of the engine to a reference in what `welltimed demo --json` prints."""

    head: str
    span: str
    versus: str
    outcome: str
    has_low: bool


DEMO: Final = (
    Column("redeemed ÷ random", "second_half", "vs_random", "redeemed", False),
    Column("÷ popular", "second_half", "vs_popular", "redeemed", False),
    Column("÷ usual", "second_half", "vs_usual", "redeemed", True),
    Column("÷ usual, six hours", "second_half", "vs_usual_six_hours", "redeemed", True),
    Column("÷ supervised", "second_half", "vs_supervised", "redeemed", True),
    Column("the same, all weeks", "whole", "vs_supervised", "redeemed", True),
    Column("opened ÷ popular", "second_half", "vs_popular", "opened", False),
    Column("÷ usual", "second_half", "vs_usual", "opened", True),
    Column("÷ usual, six hours", "second_half", "vs_usual_six_hours", "opened", True),
)
DEMO_HEAD: Final = ("salt", *(column.head for column in DEMO))
PUSH_HEAD: Final = ("", "messages a CPU-second", "µs a message", "messages/s")
PLAN_HEAD: Final = ("people", "rows", "seconds", "bare parts: read + draw + write", "ratio", "MiB")
DRAW_HEAD: Final = ("due rows", "seconds", "bare parts: read + kernel + log + outbox", "ratio", "MiB")
CLAIMS_HEAD: Final = ("world", "claim", "value", "asked", "holds")


def welltimed(*arguments: str) -> dict[str, Any]:
    """The JSON of a command.

    Raises:
        subprocess.CalledProcessError: it failed; what it said of that went to standard error.
    """
    print(f"welltimed {' '.join(arguments)}", file=sys.stderr, flush=True)
    command = [str(PYTHON), "-m", "service.cli", *arguments, "--json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def demo_rows(found: Mapping[str, Told]) -> list[tuple[str, ...]]:
    """A row a salt, value and lower bound of 95 %, and the means."""
    rows = [(salt, *(_ratio(told, column) for column in DEMO)) for salt, told in found.items()]
    return [*rows, ("mean", *(_mean(found.values(), column) for column in DEMO))]


def push_rows(found: Told) -> list[tuple[str, ...]]:
    """Ours, the reference, and how many times ours goes into it."""
    ours = ("", "dispatcher, claimed row to settled row"), ("reference_", "firebase-admin, send_each_async alone")
    rows = [
        (
            name,
            f"{found[f'{which}messages_per_cpu_s']:,.0f}",
            f"{found[f'{which}cpu_us']:,.0f}",
            f"{found[f'{which}messages_per_s']:,.0f}",
        )
        for which, name in ours
    ]
    return [
        *rows,
        ("ratio", f"{found['ratio']:.1f}", "", ""),
        ("PostgreSQL besides", "", f"{found['postgres_cpu_us']:,.0f}", ""),
    ]


def plan_rows(found: Iterable[Told]) -> list[tuple[str, ...]]:
    """A row a size: planning, and the sum of its bare parts."""
    parts = ("copy_out", "kernels", "copy_in")
    return [(f"{told['users']:,.0f}", *_beside_parts(told, "", parts)) for told in found]


def draw_rows(found: Iterable[Told]) -> list[tuple[str, ...]]:
    """A row a size: drawing, and the sum of its bare parts."""
    return [_beside_parts(told, "draw_", ("read", "kernel", "log", "outbox")) for told in found]


def _beside_parts(told: Told, which: str, parts: tuple[str, ...]) -> tuple[str, ...]:
    return (
        f"{told[f'{which}rows']:,.0f}",
        f"{told[f'{which}seconds']:.1f}",
        " + ".join(f"{told[f'{which}parts'][part]:.1f}" for part in parts),
        f"{told[f'{which}ratio']:.2f}",
        f"{told[f'{which}rss_mib']:,.0f}",
    )


def claim_rows(found: Mapping[str, Told]) -> list[tuple[str, ...]]:
    """A row a claim of each world, at the seed where it is nearest to failing."""
    return [
        (
            world,
            name.replace("_", " "),
            _number(claim["value"]),
            f"{claim['is']} {_number(claim['target'])}",
            _YES[claim["holds"]],
        )
        for world, told in found.items()
        for name, claim in told["claims"].items()
    ]


_YES: Final = {True: "yes", False: "**no**"}


def _ratio(told: Told, column: Column) -> str:
    one = told[column.span][column.versus][column.outcome]
    if one["value"] is None:
        return "none"
    return f"{one['value']:.3f} [{one['low']:.3f}]" if column.has_low else f"{one['value']:.2f}"


def _mean(found: Iterable[Told], column: Column) -> str:
    values = [told[column.span][column.versus][column.outcome]["value"] for told in found]
    known = [value for value in values if value is not None]
    return f"{fmean(known):.3f}" if known else "none"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"
