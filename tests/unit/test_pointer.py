"""The place of a NUL character is told, and what only looks like one is left alone."""

import json

import pytest

from schema.pointer import place_of_nul, pointer_of


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (rb'{"a":"\u0000"}', "/a"),
        (rb'{"a":[1,{"b/c":["x","a\\\u0000"]}]}', "/a/1/b~1c/1"),
        (rb'{"a":{"b\u0000":1}}', "/a"),
        (rb'"\u0000"', ""),
        (rb'{"a":"\u0000"', ""),
        (rb'{"a":"\\u0000"}', None),
        (rb'{"a":"\\\\u0000"}', None),
        (rb'{"a":"u0000"}', None),
        (rb'{"a":' + b"[" * 5000 + rb'"\u0000"' + b"]" * 5000 + b"}", ""),
    ],
)
def test_a_nul_is_found(body: bytes, place: str | None) -> None:
    assert place_of_nul(body) == place
    if len(body) < 100 and body.endswith(b"}"):
        assert (place is not None) == ("\0" in "".join(texts(json.loads(body))))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Expected `int` - at `$.a[0].b`", ("/a/0/b", "Expected `int`")),
        (
            "Expected `str` of length >= 1 - at `$.templates[...].title`",
            ("/templates/.../title", "Expected `str` of length >= 1"),
        ),
        (
            "Expected `str` matching regex 'a' - at `key` in `$.templates`",
            ("/templates", "Expected `str` matching regex 'a'"),
        ),
        ("Object contains unknown field `x` - at `$.a`", ("/a/x", "Object contains unknown field `x`")),
    ],
)
def test_what_msgspec_complains_about_is_pointed_to(message: str, expected: tuple[str, str]) -> None:
    assert pointer_of(message) == expected


def texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for name, inner in value.items() for text in (name, *texts(inner))]
    if isinstance(value, list):
        return [text for inner in value for text in texts(inner)]
    return [value] if isinstance(value, str) else []
