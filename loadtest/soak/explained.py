"""The plans that PostgreSQL really uses: one in some hundred statements of the product's own sessions, as auto_explain writes them to its log."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

SCAN_ROWS_MIN: Final = 10_000
"""Tables with fewer rows may be read whole: that is often the best plan."""
SUPERUSER: Final = "postgres"
_PREPARE: Final = (
    "load 'auto_explain'",
    "alter database welltimed set session_preload_libraries = 'auto_explain'",
    "alter database welltimed set auto_explain.log_min_duration = 0",
    "alter database welltimed set auto_explain.log_format = 'json'",
    "alter database welltimed set auto_explain.log_parameter_max_length = 0",
)
_RATE: Final = "alter database welltimed set auto_explain.sample_rate = {:f}"
_BEGINS: Final = " plan:"
_READ_BYTES_MAX: Final = 8 * 2**20

WHOLE: Final = {
    "from exposures where feature_set": "a refit, the map of tastes and what pushes add are learned from all exposures",
    "from push_windows": "what pushes add is learned from all windows",
    "select time_zone from users": "once for each campaign that is due, which reads its audience anyway",
}
"""Statements that read a table whole by design, by words of theirs."""


class Explained(NamedTuple):
    """One statement and the tree of its plan."""

    statement: str
    plan: dict[str, Any]

    def scans(self) -> set[str]:
        """Tables that are read whole."""
        return {node["Relation Name"] for node in _nodes(self.plan) if node["Node Type"] == "Seq Scan"}

    def shape(self) -> str:
        """Its nodes in words, with the kinds of tables and indexes: what stays the same while days come and go."""
        return " ".join(dict.fromkeys(_word(node) for node in _nodes(self.plan)))


async def begin(dsn: str, share: float) -> None:
    """Sessions that are opened from now on have this share of their statements explained."""
    connection = await unexplained(dsn)
    try:
        for statement in (*_PREPARE, _RATE.format(share)):
            await connection.execute(statement)
    finally:
        await connection.close()


async def unexplained(dsn: str) -> Any:
    """A connection of ours, of which no statement is explained."""
    connection = await asyncpg.connect(dsn.replace("//welltimed@", f"//{SUPERUSER}@", 1))
    await connection.execute("load 'auto_explain'; set auto_explain.log_min_duration = -1")
    return connection


class Log:
    """PostgreSQL's log, read on from where the last look ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.exists() else 0
        self._left = ""

    def read(self) -> list[Explained]:
        """What was explained since; a plan that is not yet written whole waits for the next look."""
        with self._path.open("rb") as log:
            log.seek(self._offset)
            data = log.read(_READ_BYTES_MAX)
        self._offset += len(data)
        text = self._left + data.decode(errors="replace")
        whole, _, self._left = text.rpartition("\n2")  # each entry begins with its year
        self._left = "2" + self._left if whole else text
        return list(entries(whole))


def entries(text: str) -> Iterator[Explained]:
    """Plans in a piece of the log: a line of our own, then the plan, of which each line begins with a tab."""
    held: list[str] | None = None
    for line in [*text.splitlines(), ""]:
        if held is not None and line.startswith("\t"):
            held.append(line)
            continue
        if held:
            read = msgspec.json.decode("\n".join(held))
            yield Explained(" ".join(read["Query Text"].split()), read["Plan"])
        held = [] if line.endswith(_BEGINS) else None


def is_whole_by_design(statement: str) -> bool:
    """Whether it is known to read its table whole."""
    words = statement.lower()
    return any(known in words for known in WHOLE)


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _word(node: dict[str, Any]) -> str:
    about = kind_of(node.get("Relation Name") or "") or kind_of(node.get("Index Name") or "")
    return f"{node['Node Type']}({about})" if about else str(node["Node Type"])


def kind_of(table: str) -> str:
    """The name of a table without its day."""
    head, _, day = table.rpartition("_")
    return head if day.isdigit() else table
