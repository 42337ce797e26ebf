"""A batch is split at the same places at which JSON would split it, also when a part of it is no JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.event import EVENTS_MAX
from service.ingest import split
from service.ingest.split import ARRAY, members, parts

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='a"\\[]{},:\n\ud83d é'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet='a"\\[]{},:'), inner),
    max_leaves=10,
)


@given(st.lists(JSON), st.sampled_from([None, 1]))
def test_an_array_falls_into_its_values(values: list[object], indent: int | None) -> None:
    found = parts(json.dumps(values, indent=indent).encode(), ARRAY)
    assert found is not None
    assert [json.loads(part) for part in found] == values


@given(st.dictionaries(st.text(), JSON), st.booleans())
def test_an_object_falls_into_its_members(value: dict[str, object], is_ascii: bool) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")
    found = members(text)
    assert found is not None
    assert [name for name, _ in found] == [
        json.dumps(name, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass") for name in value
    ]
    assert len(found) == len(value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"[]", []),
        (b" [ \n] ", []),
        (b"[1,,2]", [b"1", b"", b"2"]),
        (b"[1,]", [b"1", b""]),
        (b'["\xff", nonsense ,{"a":1]]', [b'"\xff"', b"nonsense", b'{"a":1]']),
        (b'["\\",",2]', [b'"\\","', b"2"]),
        (b"[[,],{,}]", [b"[,]", b"{,}"]),
        (b'["a,]', None),
        (b"[1]]", None),
        (b"[1] [2]", None),
        (b"[[1]", None),
        (b"[", None),
        (b"", None),
        (b"1", None),
        (b"{}", None),
        (b"[" * 100_000 + b"]" * 100_000, None),  # more signs than are followed
    ],
)
def test_what_is_not_one_array_is_not_split(text: bytes, found: list[bytes] | None) -> None:
    assert parts(text, ARRAY) == found


@pytest.mark.parametrize("text", [b"[]", b"{1:2}", b'{"a"}', b'{"a":1,}', b'{"a:1}'])
def test_what_is_not_an_object_has_no_members(text: bytes) -> None:
    assert members(text) is None


def test_a_batch_of_honest_events_is_far_below_the_bound() -> None:
    lines = b",".join([b'{"sku":1,"tags":["a","b"]}'] * 20)
    events = [b'{"event_id":"1","properties":{"lines":[' + lines + b"]}}"] * EVENTS_MAX
    body = b'{"batch":[' + b",".join(events) + b"]}"
    assert EVENTS_MAX * 86 < split.SIGNS_MAX
    found = members(body)
    assert found is not None
    assert parts(found[0][1], ARRAY) == events
