"""The log of `serve`: what it says of errors, and how often it warned of what."""

import re
from collections import Counter
from pathlib import Path
from typing import Final

import msgspec

EXAMPLES_MAX: Final = 20
CHARACTERS_MAX: Final = 600
_ERRORS: Final = frozenset({"error", "critical"})
_DIGITS: Final = re.compile(r"[0-9][0-9:.-]*")


class Logged(msgspec.Struct):
    """Lines at error and above, the first few of them, and warnings by what they say."""

    errors: int
    examples: list[str]
    warnings: dict[str, int]


def read(path: Path) -> Logged:
    """Of a whole run."""
    errors, warnings = [], Counter[str]()
    for line in path.read_bytes().splitlines():
        try:
            entry = msgspec.json.decode(line, type=dict)
        except msgspec.DecodeError:
            entry = {"level": "error", "event": line.decode(errors="replace")}
        if entry.get("level") in _ERRORS:
            about = str(entry.get("exception", ""))[-CHARACTERS_MAX:]
            errors.append(f"{entry.get('event')} {about}".strip())
        else:
            about = entry.get("work") or entry.get("reason") or entry.get("error") or ""
            warnings[_DIGITS.sub("…", f"{entry.get('event')} {about}".strip())] += 1
    return Logged(len(errors), errors[:EXAMPLES_MAX], dict(warnings))
