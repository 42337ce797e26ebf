"""What the explained statements come to over a run: which there were, whether each kept to its indexes, and which turned."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from loadtest.soak import explained
from loadtest.soak.explained import SCAN_ROWS_MIN, Explained

THIRDS: Final = ("beginning", "middle", "end")
STATEMENT_CHARACTERS: Final = 300


class Seen(msgspec.Struct):
    """A statement: how often it was explained, by third of the run, its plans and the large tables that it read whole."""

    statement: str
    count: dict[str, int]
    shapes: dict[str, list[str]]
    scans: dict[str, int]
    is_by_design: bool


class PlanWatch:
    """Collects explained statements."""

    def __init__(self) -> None:
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._shapes: defaultdict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
        self._scans: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def hear(self, found: Sequence[Explained], rows: Mapping[str, float], share_done: float) -> None:
        """`rows` are those of each table at the time, `share_done` says how far the run is."""
        third = THIRDS[min(int(share_done * 3), 2)]
        for one in found:
            self._counts[one.statement][third] += 1
            self._shapes[one.statement][third][one.shape()] += 1
            large = {explained.kind_of(table) for table in one.scans() if rows.get(table, 0) >= SCAN_ROWS_MIN}
            self._scans[one.statement].update(large)

    def seen(self) -> list[Seen]:
        """All statements, the most frequent first."""
        ordered = sorted(self._counts, key=lambda name: -self._counts[name].total())
        return [
            Seen(
                statement[:STATEMENT_CHARACTERS],
                dict(self._counts[statement]),
                {
                    third: [shape for shape, _ in shapes.most_common(3)]
                    for third, shapes in self._shapes[statement].items()
                },
                dict(self._scans[statement]),
                explained.is_whole_by_design(statement),
            )
            for statement in ordered
        ]


def turned(seen: Sequence[Seen]) -> list[Seen]:
    """Those that read a large table whole though they need not."""
    return [one for one in seen if one.scans and not one.is_by_design]
