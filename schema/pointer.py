"""Where something is in a JSON body: the pointer (RFC 6901) of what msgspec complains about, and of a NUL character."""

import re
from typing import Any, Final, TypeAlias

import msgspec

_Path: TypeAlias = tuple["_Path", str] | None
"""Steps into a JSON value, the last one outside: siblings share what is before them."""

_ANY: Final = msgspec.json.Decoder()
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_PLACE: Final = re.compile(r" - at `(?:key` in `)?\$([^`]*)`$")
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[([^\]]*)\]")
_FIELD: Final = re.compile(r"^Object (contains unknown|missing required) field `(.*)`$", re.DOTALL)


def pointer_to(*steps: str) -> str:
    """The pointer of these steps from the whole body; "" is the body itself."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def pointer_of(message: str) -> tuple[str, str]:
    """Splits a message of msgspec into the pointer of the place it names and the rest."""
    place = _PLACE.search(message)
    detail = message[: place.start()] if place else message
    steps = ["".join(step) for step in _STEP.findall(place[1])] if place else []
    if field := _FIELD.match(detail):
        steps.append(field[2])
    return pointer_to(*steps), detail


def place_of_nul(body: bytes) -> str | None:
    """The pointer of a text that holds a NUL character, which PostgreSQL's text cannot, or of the object with such a name.

    None when there is none; "" when it cannot be told because the body is no JSON.
    """
    if b"\\u0000" not in body or _NUL.search(body) is None:
        return None
    try:
        return _find_nul(_ANY.decode(body))
    except (ValueError, RecursionError):
        return ""


def _find_nul(body: Any) -> str:
    waiting: list[tuple[_Path, Any]] = [(None, body)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str) and "\0" in value:
            return _joined(path)
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for name, inner in items:
            if "\0" in str(name):
                return _joined(path)
            waiting.append(((path, str(name)), inner))
    return ""


def _joined(path: _Path) -> str:
    steps: list[str] = []
    while path is not None:
        path, step = path
        steps.append(step)
    return pointer_to(*reversed(steps))
