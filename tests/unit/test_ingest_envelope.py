"""Every bad input of POST /v1/events is told at its place, and alone; instants are corrected by the skew of the sender's clock."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from schema import external_id
from schema.event import BATCH_BYTES_MAX, Batch, EventProblem
from service.errors import ApiError
from service.ingest import envelope
from service.ingest.checked import CheckedEvent
from service.ingest.judge import Caller, judge, moment
from service.store.people import ANONYMOUS, USER, PersonKey, Speaker

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
OFFERS = {"cola": 7}


def acts_as(user_id: str | None, anonymous_id: str | None) -> Speaker:
    if user_id == "somebody-else":
        raise ApiError(403, "forbidden", "not you")
    return Speaker(PersonKey(USER, user_id) if user_id is not None else PersonKey(ANONYMOUS, anonymous_id or ""))


PUBLISHABLE = Caller(is_secret=False, may_backfill=False, acts_as=acts_as)
SECRET = Caller(is_secret=True, may_backfill=True, acts_as=acts_as)


def event(**changes: Any) -> dict[str, Any]:
    told = {"event_id": "e1", "user_id": "ann", "type": "view", "occurred_at": NOW.isoformat()} | changes
    return {name: value for name, value in told.items() if value is not ...}


def take(
    *raw: bytes, caller: Caller = PUBLISHABLE, sent_at: datetime = NOW
) -> tuple[list[CheckedEvent], list[EventProblem]]:
    body = b'{"sent_at":"%s","batch":[%s]}' % (sent_at.isoformat().encode(), b",".join(raw))
    opened, batch = envelope.read(body), envelope.open_envelope(body)
    assert opened.sent_at == batch.sent_at
    assert list(map(msgspec.structs.asdict, opened.events)) == list(map(msgspec.structs.asdict, envelope.decode(batch)))
    judged = judge(opened.events, moment(opened.sent_at, NOW), caller, OFFERS)
    return list(judged.accepted.values()), list(judged.problems.values())


BAD = [
    (event(type="bought"), "/type", "invalid_field"),
    (event(type="accepted"), "/type", "invalid_field"),
    (event(type=...), "/type", "invalid_field"),
    (event(colour="red"), "/colour", "unknown_field"),
    (event(event_id=""), "/event_id", "invalid_field"),
    (event(event_id="x" * 129), "/event_id", "invalid_field"),
    (event(slot=64), "/slot", "invalid_field"),
    (event(decision_id="nope"), "/decision_id", "invalid_field"),
    (event(user_id=...), "/user_id", "invalid_field"),
    (event(anonymous_id="a"), "/user_id", "invalid_field"),
    (event(user_id="somebody-else"), "/user_id", "forbidden"),
    (event(type="redeemed"), "/type", "forbidden"),
    (event(offer_id="pepsi"), "/offer_id", "unknown_offer"),
    (event(occurred_at="2026-11-21T12:00:00"), "/occurred_at", "invalid_field"),
    (event(occurred_at="yesterday"), "/occurred_at", "invalid_field"),
    (event(occurred_at=(NOW - timedelta(days=7, seconds=1)).isoformat()), "/occurred_at", "too_old"),
    (event(occurred_at=(NOW + timedelta(seconds=61)).isoformat()), "/occurred_at", "in_future"),
    (event(occurred_at="0001-01-01T00:00:00+14:00"), "/occurred_at", "too_old"),
    (event(occurred_at="9999-12-31T23:59:59-12:00"), "/occurred_at", "in_future"),
    (event(properties={"tags": "milk"}), "/properties/tags", "invalid_field"),
    (event(properties={"tags": ["milk", 5]}), "/properties/tags", "invalid_field"),
    (event(properties={"tags": ["x"] * 65}), "/properties/tags", "invalid_field"),
    (event(properties={"note": "a\x00b"}), "/properties/note", "invalid_field"),
    (event(properties={"a\x00b": 1}), "/properties", "invalid_field"),
    (event(properties={"note": "x" * 32_768}), "", "too_large"),
    (event(properties=[]), "/properties", "invalid_field"),
    ([], "", "invalid_field"),
    (None, "", "invalid_field"),
]


@pytest.mark.parametrize(("bad", "pointer", "code"), BAD)
def test_a_bad_event_is_rejected_alone(bad: Any, pointer: str, code: str) -> None:
    accepted, problems = take(
        msgspec.json.encode(event()), msgspec.json.encode(bad), msgspec.json.encode(event(event_id="e2"))
    )
    assert len(accepted) == 2
    assert [(problem.pointer, problem.code) for problem in problems] == [("/batch/1" + pointer, code)]
    assert problems[0].detail


@pytest.mark.parametrize(
    "raw",
    [
        b'{"event_id":"\\ud800"}',
        b'{"event_id":"\xff"}',
        b'{"properties":{"n":' + b"9" * 5000 + b"}}",
        b'{"properties":{"n":1e400}}',
        b'{"properties":' + b"[" * 500 + b"]" * 500 + b"}",
    ],
)
def test_what_is_not_json_inside_an_event_spoils_only_that_event(raw: bytes) -> None:
    accepted, problems = take(raw, msgspec.json.encode(event()))
    assert len(accepted) == 1
    assert problems[0].pointer.startswith("/batch/0")


def test_events_that_are_no_json_spoil_only_themselves() -> None:
    deep = b'{"properties":{"a":' + b"[" * 990 + b"]" * 990 + b"}}"
    halves = rb'{"event_id":"\ud83d"}'
    raw = (deep, halves, b'{"event_id":"\xff"}', b"9" * 5000, b'{"a" 1}', b"")
    good = msgspec.json.encode(event())
    accepted, problems = take(*raw, good)
    assert len(accepted) == 1
    assert [problem.pointer for problem in problems] == [f"/batch/{place}" for place in range(len(raw))]
    for one in raw:
        accepted, problems = take(good, one, msgspec.json.encode(event(event_id="e2")))
        assert (len(accepted), [problem.pointer for problem in problems]) == (2, ["/batch/1"]), one[:40]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (rb'{"sent_at":"\ud83d","batch":[]}', "/sent_at"),
        (rb'{"sent_at":"\ud83d"}', "/sent_at"),
        (rb'{"batch":[{"event_id":"\ud83d"}],"sent_at":"2026-11-21"}', "/sent_at"),
        (rb'{"batch":[{"event_id":"\ud83d"}],"sent_at":"2026-11-21T12:00:00Z","more":1}', "/more"),
        (rb'{"sent_at":"2026-11-21T12:00:00Z","batch":[],"\ud83d":1}', ""),
        (rb'{"sent_at":"2026-11-21T12:00:00Z","batch":[],"more":' + b"[" * 5000 + b"]" * 5000 + b"}", "/more"),
        (rb'{"batch":["\ud83d"]}', "/sent_at"),
    ],
)
def test_a_member_of_the_envelope_that_is_no_json_is_named(body: bytes, pointer: str) -> None:
    with pytest.raises(ApiError) as caught:
        envelope.read(body)
    assert (caught.value.status, [error.pointer for error in caught.value.errors]) == (400, [pointer])


def test_the_last_of_two_batches_counts_however_it_is_read() -> None:
    twice = rb'{"sent_at":"2026-11-21T12:00:00Z","batch":[{},{}],"batch":[%s]}'
    assert len(envelope.read(twice % b"1").events) == 1
    assert len(envelope.read(twice % rb'"\ud83d"').events) == 1


def test_a_batch_too_large_names_the_batch() -> None:
    for event_text in (b"{}", rb'"\ud83d"'):
        body = b'{"sent_at":"2026-11-21T12:00:00Z","batch":[' + b",".join([event_text] * 501) + b"]}"
        with pytest.raises(ApiError) as caught:
            envelope.read(body)
        assert (caught.value.status, caught.value.errors[0].pointer) == (413, "/batch")


def test_an_escaped_backslash_before_u0000_is_plain_text() -> None:
    accepted, problems = take(msgspec.json.encode(event(properties={"path": "C:\\u0000"})))
    assert len(accepted) == 1
    assert problems == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"nope", 400, "malformed_json"),
        (b"[]", 400, "invalid_field"),
        (b'{"batch":[]}', 400, "invalid_field"),
        (b'{"sent_at":"2026-11-21T12:00:00","batch":[]}', 400, "invalid_field"),
        (b'{"sent_at":"2026-11-21T12:00:00Z","batch":[],"more":1}', 400, "unknown_field"),
        (b'{"sent_at":"2026-11-21T12:00:00Z","batch":' + b"[" * 100_000, 400, "malformed_json"),
        (b'{"sent_at":"2026-11-21T12:00:00Z","batch":[' + b"{}," * 500 + b"{}]}", 413, "batch_too_large"),
        (b" " * (BATCH_BYTES_MAX + 1), 413, "body_too_large"),
    ],
)
def test_only_the_envelope_fails_as_a_whole(body: bytes, status: int, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        envelope.read(body)
    assert (caught.value.status, caught.value.code) == (status, code)


@pytest.mark.parametrize("skew_s", [-86_400 * 300, -3600, -31, 31, 3600, 86_400 * 300])
def test_a_wrong_clock_is_corrected(skew_s: int) -> None:
    theirs = NOW - timedelta(seconds=skew_s)
    accepted, _ = take(
        msgspec.json.encode(event(occurred_at=(theirs - timedelta(hours=2)).isoformat())), sent_at=theirs
    )
    assert accepted[0].occurred_at == NOW - timedelta(hours=2)


@pytest.mark.parametrize("skew_s", [-30, -5, 0, 5, 30])
def test_the_way_of_the_message_is_no_skew(skew_s: int) -> None:
    at = NOW - timedelta(hours=2)
    accepted, _ = take(msgspec.json.encode(event(occurred_at=at.isoformat())), sent_at=NOW - timedelta(seconds=skew_s))
    assert accepted[0].occurred_at == at


def test_an_event_is_never_later_than_its_receipt() -> None:
    accepted, _ = take(msgspec.json.encode(event(occurred_at=(NOW + timedelta(seconds=59)).isoformat())))
    assert accepted[0].occurred_at == NOW


def test_no_sent_at_can_break_the_correction() -> None:
    raw = msgspec.json.encode(event())
    for extreme in (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)):
        accepted, problems = take(raw, sent_at=extreme)
        assert (len(accepted), len(problems)) == (0, 1)


def test_a_secret_key_redeems_and_brings_history() -> None:
    told = event(type="redeemed", offer_id="cola", occurred_at=(NOW - timedelta(days=399)).isoformat())
    accepted, _ = take(msgspec.json.encode(told), caller=SECRET)
    assert accepted[0].offer_id == 7
    _, problems = take(msgspec.json.encode(event(occurred_at=(NOW - timedelta(days=401)).isoformat())), caller=SECRET)
    assert problems[0].code == "too_old"


@pytest.mark.parametrize("name", ["user_id", "anonymous_id"])
@pytest.mark.parametrize("code", [*range(0x20), *map(ord, "/\\"), *range(0x7F, 0xA1), 0xE9, 0x1F642])
def test_an_id_is_judged_alike_by_both_decoders(name: str, code: int) -> None:
    for told in (chr(code), f"a{chr(code)}b"):
        changes = {"user_id": ..., name: told}
        raw = msgspec.json.encode(event(**changes))
        is_refused = not external_id.is_fit(told)
        accepted, problems = take(raw)
        assert [problem.pointer for problem in problems] == ([f"/batch/0/{name}"] if is_refused else [])
        assert [one.speaker.key.external_id for one in accepted] == ([] if is_refused else [told])


@pytest.mark.parametrize("told", [".", "..", "...", ".a", "a.", "x" * 129, ""])
def test_dots_alone_and_what_is_too_long_are_no_ids(told: str) -> None:
    _, problems = take(msgspec.json.encode(event(user_id=told)))
    assert bool(problems) == (not 0 < len(told) <= 128 or told in external_id.DOTS)


def test_tags_are_kept_once_and_in_order() -> None:
    accepted, _ = take(msgspec.json.encode(event(properties={"tags": ["milk", "bread", "milk"]})))
    assert accepted[0].tags == ("milk", "bread")


def test_an_envelope_is_a_batch() -> None:
    batch = envelope.open_envelope(b'{"sent_at":"2026-11-21T12:00:00Z","batch":[]}')
    assert isinstance(batch, Batch)
    assert envelope.decode(batch) == []
