"""A JSON document compiled once: each rendering escapes a few strings into its slots instead of encoding the whole."""

import re
from collections.abc import Sequence

import msgspec

_SLOT = re.compile('"\u00a7(\\d+)\u00a7"(?!:)')  # a whole JSON string, and no key
_encode = msgspec.json.Encoder().encode


def slot(number: int) -> str:
    """The string that marks slot `number` in a document to be compiled."""
    return f"\u00a7{number}\u00a7"


class Template:
    """A document whose slots take strings; a value cannot break out of its slot, for it is escaped as JSON."""

    def __init__(self, document: str) -> None:
        """Compile JSON text in which some string values are `slot(n)`; a slot may appear more than once."""
        compact = msgspec.json.encode(msgspec.json.decode(document)).decode()
        parts = _SLOT.split(compact)
        self._head = parts[0].encode()
        self._rest = [(int(number), text.encode()) for number, text in zip(parts[1::2], parts[2::2], strict=True)]
        self.slots = frozenset(number for number, _ in self._rest)

    def render(self, values: Sequence[str]) -> bytes:
        """The document with `values[n]` in slot n.

        Raises UnicodeEncodeError for a string that has no UTF-8 form (a lone surrogate).
        """
        escaped = [_encode(value) for value in values]
        pieces = [self._head]
        for number, text in self._rest:
            pieces += (escaped[number], text)
        return b"".join(pieces)
