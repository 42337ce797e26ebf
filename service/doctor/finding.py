"""What a check of `welltimed doctor` finds: one line, and what to do about it."""

from collections.abc import Iterable
from typing import Literal

import msgspec

Level = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True):
    """One line: `name` tells what was looked at, `says` what was found, `advice` what to do where it is not ok."""

    group: str
    name: str
    level: Level
    says: str
    advice: str = ""


class Group:
    """Makes the findings of one group."""

    def __init__(self, name: str) -> None:
        self._name = name

    def ok(self, name: str, says: str) -> Finding:
        """All is well."""
        return Finding(self._name, name, "ok", says)

    def warn(self, name: str, says: str, advice: str) -> Finding:
        """It works, and somebody should look at it."""
        return Finding(self._name, name, "warn", says, advice)

    def fail(self, name: str, says: str, advice: str) -> Finding:
        """It does not work, or will not for long."""
        return Finding(self._name, name, "fail", says, advice)

    def graded(self, name: str, says: str, advice: str, *, warn: bool, fail: bool) -> Finding:
        """By the worse of what holds."""
        return self.fail(name, says, advice) if fail else self.warn(name, says, advice) if warn else self.ok(name, says)


def is_healthy(findings: Iterable[Finding]) -> bool:
    """Whether nothing has failed; warnings are healthy."""
    return all(finding.level != "fail" for finding in findings)
