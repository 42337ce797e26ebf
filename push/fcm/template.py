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
    """A document whose slots take JSON; `escaped` makes it of a string, which then cannot break out of its slot."""

    def __init__(self, document: str) -> None:
        """Compile JSON text in which some string values are `slot(n)`; a slot may appear more than once."""
        compact = msgspec.json.encode(msgspec.json.decode(document)).decode()
        parts = _SLOT.split(compact)
        self._format = b"%b".join(text.encode().replace(b"%", b"%%") for text in parts[0::2])
        self._order = [int(number) for number in parts[1::2]]
        self.slots = frozenset(self._order)

    def render(self, values: Sequence[bytes]) -> bytes:
        """The document with the JSON `values[n]` in slot n."""
        return self._format % tuple([values[number] for number in self._order])


def escaped(text: str) -> bytes:
    """A string as JSON, quotes and all. Raises UnicodeEncodeError for one that has no UTF-8 form (a lone surrogate)."""
    return _encode(text)
