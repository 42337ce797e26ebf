"""What a parser is fed: noise, any JSON, and good documents with something odd put into them."""

import json
from datetime import timedelta
from typing import Any, Final

from hypothesis import settings
from hypothesis import strategies as st

from schema.base import Incoming

calmly: Final = settings(deadline=timedelta(seconds=20))
"""A slow machine is no fault of a parser; one that is done with such small examples only then hangs."""

ODD: Final = [
    b'"\\u0000"', b"\x00", b"\xff\xfe", b'"\\ud800"', b"\xed\xa0\x80", b"1e400", b"-1e400", b"NaN", b"9" * 400, b"-0", b"0.1e-999",
    b"[" * 2_000, b'{"a":' * 2_000, b"null", b"true", b"[]", b"{}", b'""', b'"', b"\\", b",", b"}", b"]", b"18446744073709551616",
    b"-9223372036854775809", b'"' + b"x" * 5_000 + b'"', b"\xe2\x80\xa8", b"\xef\xbb\xbf", b'"0001-01-01T00:00:00Z"',
    b'"9999-12-31T23:59:60+23:59"', b'"2026-02-30"', b"/*", b"'", b"\r\n", b";", b'=cmd|"', b"%00", b"\x1b[31m",
]  # fmt: skip

JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=12,
)


@st.composite
def spoilt(draw: st.DrawFn, documents: list[bytes]) -> bytes:
    """A good document of which some pieces are replaced, left out or said twice."""
    text = draw(st.sampled_from(documents))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        end = min(at + draw(st.integers(0, 12)), len(text))
        text = text[:at] + draw(st.sampled_from([*ODD, text[at:end] * 2]) | st.binary(max_size=6)) + text[end:]
    return text


@st.composite
def with_odd_values(draw: st.DrawFn, documents: list[bytes]) -> bytes:
    """A good document with the value of some places replaced by any JSON; it still is JSON."""
    value = json.loads(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(1, 3))):
        value = _replaced(draw, value)
    return json.dumps(value).encode()


def _replaced(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, dict) and value and draw(st.integers(0, 9)):
        name = draw(st.sampled_from(sorted(value)))
        return value | {name: _replaced(draw, value[name])}
    if isinstance(value, list) and value and draw(st.integers(0, 9)):
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], _replaced(draw, value[place]), *value[place + 1 :]]
    return draw(JSON)


def fed(*documents: bytes) -> st.SearchStrategy[bytes]:
    """All of it, with these documents as the good ones."""
    good = list(documents)
    return (
        st.binary(max_size=200)
        | JSON.map(lambda value: json.dumps(value).encode())
        | spoilt(good)
        | with_odd_values(good)
    )


def incoming() -> list[type[Incoming]]:
    """Every struct that a body is decoded into."""
    found, waiting = [], [Incoming]
    while waiting:
        kinds = waiting.pop().__subclasses__()
        found += kinds
        waiting += kinds
    return sorted(set(found), key=lambda kind: (kind.__module__, kind.__qualname__))
