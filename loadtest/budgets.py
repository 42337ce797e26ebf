"""What is guarded: ratios that were stored when they were earned, and how far each may be from that before the run fails."""

import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

BUDGETS: Final = Path(__file__).with_name("budgets.toml")
_SECTION: Final = re.compile(r'\["(.+)"\]\s*(#.*)?')
_STORED: Final = re.compile(r"stored\s*=\s*[0-9.e+-]+")


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A figure, named by its path in the report: what it was, and by what share it may be worse; by which, beside others on the machine.
    `why` says where that is not a fifth.

    What `is_for_full` is judged in the full form only, which is run on a machine that has nothing else to do.
    """

    stored: float
    worse_max: float = 0.20
    worse_max_beside: float | None = None
    is_less_better: bool = False
    is_for_full: bool = False
    why: str = ""

    def bound(self, *, is_beside: bool = False) -> float:
        """The worst that still holds, where `is_beside` says beside others."""
        share = self.worse_max_beside if is_beside and self.worse_max_beside is not None else self.worse_max
        return self.stored * (1 + share if self.is_less_better else 1 - share)


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """A budget beside what was measured."""

    name: str
    value: float
    stored: float
    bound: float
    is_less_better: bool
    holds: bool


def read(path: Path = BUDGETS) -> dict[str, Budget]:
    """The budgets by the path of their figure, as `decisions.ratio_to_echo`.

    Raises:
        ValidationError: the file says something else.
    """
    return msgspec.convert(tomllib.loads(path.read_text()), dict[str, Budget])


def judge(budgets: Mapping[str, Budget], report: Any, *, is_full: bool, is_beside: bool = False) -> list[Guard]:
    """Those whose part the run had, as they are where `is_beside` says that others were at work too."""
    found = ((name, budget, value_of(report, name)) for name, budget in budgets.items())
    return [
        _guard(name, budget, value, budget.bound(is_beside=is_beside))
        for name, budget, value in found
        if value is not None and (is_full or not budget.is_for_full)
    ]


def _guard(name: str, budget: Budget, value: float, bound: float) -> Guard:
    """A value that is none does not hold."""
    is_within = value <= bound if budget.is_less_better else value >= bound
    return Guard(
        name=name,
        value=value,
        stored=budget.stored,
        bound=bound,
        is_less_better=budget.is_less_better,
        holds=math.isfinite(value) and is_within,
    )


def value_of(report: Any, name: str) -> float | None:
    """The figure at a path of the report; None where a part was left out.

    Raises:
        AttributeError: there is no such figure.
    """
    found = report
    for part in name.split("."):
        if found is None:
            return None
        found = getattr(found, part)
    return None if found is None else float(found)


def written(text: str, values: Mapping[str, float]) -> str:
    """The file's text with these values stored in place of the old ones; everything else stays."""
    lines, section = [], ""
    for line in text.splitlines(keepends=True):
        if match := _SECTION.match(line):
            section = match[1]
        new = _STORED.sub(f"stored = {values[section]:.4g}", line) if section in values else line
        lines.append(new)
    return "".join(lines)
