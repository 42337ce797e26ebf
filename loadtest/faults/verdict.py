"""What an audit found: counts of what must be 0."""

from collections.abc import Iterable
from typing import Final

import msgspec

EXAMPLES_MAX: Final = 5
COUNTS: Final = ("acked_and_lost", "double_counted", "caps_broken", "over_redeemed", "strange", "recovered_late")


class Verdict(msgspec.Struct):
    """Counts of what must be 0, with a few examples in words."""

    acked_and_lost: int = 0
    double_counted: int = 0
    caps_broken: int = 0
    over_redeemed: int = 0
    strange: int = 0
    recovered_late: int = 0
    examples: list[str] = []

    def add(self, what: str, cases: Iterable[object]) -> None:
        """Counts cases of a kind."""
        found = list(cases)
        setattr(self, what, getattr(self, what) + len(found))
        self.examples += [f"{what}: {case}" for case in found[:EXAMPLES_MAX]]

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found."""
        return not any(getattr(self, name) for name in COUNTS)
