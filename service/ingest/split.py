"""The parts of a JSON array or object, found by their brackets and commas and not decoded: for a body of which a part is no JSON."""

import re
from typing import Final

ARRAY: Final = b"[]"
OBJECT: Final = b"{}"
SIGNS_MAX: Final = 50_000
"""Brackets and commas that are followed in Python, some 20 ms of them; half a megabyte of honest events has a fifth of that."""

_WHITE: Final = b" \t\r\n"
_STRING: Final = rb'"(?:[^"\\]++|\\.)*+"'
# Up to the next sign that counts; a quotation mark counts when its string never ends. Commas count between the parts alone.
_BETWEEN_PARTS: Final = re.compile(rb'(?:[^"\[\]{},]++|' + _STRING + rb')*+([\[\]{},"])', re.DOTALL)
_INSIDE_A_PART: Final = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb')*+([\[\]{}"])', re.DOTALL)
_NAME: Final = re.compile(rb"(" + _STRING + rb")[ \t\r\n]*+:", re.DOTALL)


def parts(text: bytes, brackets: bytes) -> list[bytes] | None:
    """What stands between the commas of one array (`ARRAY`) or object (`OBJECT`); None when the text is not one such thing.

    Strings are passed over and brackets counted, nothing more: a part may be anything, also empty. Gives up (None) after SIGNS_MAX.
    """
    text = text.strip(_WHITE)
    if len(text) < len(brackets) or text[:1] + text[-1:] != brackets:
        return None
    found: list[bytes] = []
    begin = place = depth = 1
    for _ in range(SIGNS_MAX):
        step = (_BETWEEN_PARTS if depth == 1 else _INSIDE_A_PART).match(text, place)
        if step is None or step[1] == b'"':
            return None
        place = step.end()
        depth += {b"[": 1, b"{": 1, b",": 0}.get(step[1], -1)
        if depth == 0 or step[1] == b",":
            found.append(text[begin : place - 1].strip(_WHITE))
            begin = place
        if depth == 0:
            break
    if depth or place < len(text):
        return None
    return [] if found == [b""] else found


def members(text: bytes) -> list[tuple[bytes, bytes]] | None:
    """The names (with their quotation marks) and values of one object; None when the text is not an object of such."""
    found = parts(text, OBJECT)
    if found is None:
        return None
    named = [(part, _NAME.match(part)) for part in found]
    pairs = [(name[1], part[name.end() :].strip(_WHITE)) for part, name in named if name is not None]
    return pairs if len(pairs) == len(found) else None
