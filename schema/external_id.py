"""The one rule for the ids that an app gives to its people and devices, wherever they come in: body, token, query or path."""

import re
from typing import Annotated, Final

from msgspec import Meta

ID_CHARACTERS_MAX: Final = 128
ID_PATTERN: Final = r"^(?!\.{1,2}$)[^\x00-\x1f\x7f-\x9f/]+$(?!\n)"
DOTS: Final = frozenset({".", ".."})
"""Texts that a path cannot end with: clients take them for directions."""
ID_RULE: Final = (
    f"An id has 1 to {ID_CHARACTERS_MAX} characters, no control characters and no '/', and is not '.' or '..'."
)
"""An id is a segment of a path: one with '/' could be written, and then neither read nor erased."""

ExternalId = Annotated[str, Meta(min_length=1, max_length=ID_CHARACTERS_MAX, pattern=ID_PATTERN, description=ID_RULE)]

_FIT: Final = re.compile(ID_PATTERN)
_HALF_PAIR: Final = re.compile(r"[\ud800-\udfff]")


def is_fit(text: str) -> bool:
    """Whether a text that did not come through msgspec (which refuses half a surrogate pair) can be an id."""
    return len(text) <= ID_CHARACTERS_MAX and _FIT.search(text) is not None and _HALF_PAIR.search(text) is None
