"""Whatever FCM, webhooks, a disk or an older program hand us is understood or refused as it should be; no parser fails in another way."""

import io
import json
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandits import personal, rhythm, taste_map, tastes
from push.channel import Outcome
from push.channels.webhooks.channel import outcome_of as webhook_outcome
from push.fcm import verdict
from push.fcm.transport import Reply
from push.stand_in.verdict import Refusal, judge, read_request
from schema.snapshot import ENCODER, HeadSnapshot, Snapshot
from service import npz
from service.store import journal, learned_state, snapshots
from tests.deciding import answered, shopper
from tests.fuzz.material import calmly, fed, spoilt

ERROR: Final = {
    "error": {
        "code": 400, "message": "in words", "status": "INVALID_ARGUMENT",
        "details": [
            {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": "UNREGISTERED"},
            {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"field": "message.token"}]},
        ],
    }
}  # fmt: skip
MESSAGE: Final = {
    "message": {"token": "ok", "data": {"a": "b"}, "notification": {"title": "t"}, "android": {"ttl": "60s"}}
}
TASTES: Final = shopper(3, 1, 2, 5)
OWN: Final = answered(1.0, 0.0)
SNAPSHOT: Final = ENCODER.encode(
    Snapshot(
        version=1, published_at_s=1.0, feature_set=1, heads=[HeadSnapshot(bytes(8), bytes(12), 1.0, [0.5], 3.0)], tag_shares=bytes(8),
        hour_shares=bytes(672), baskets=1.0, offsets=[0] * 64,
    )
)  # fmt: skip


def packed_rhythm() -> bytes:
    known = rhythm.Rhythm()
    known.visited(9, 1_772_442_000.0)
    return known.pack()


@calmly
@given(
    st.sampled_from([200, 400, 401, 403, 404, 429, 500, 503, 504, 302, 418]),
    fed(json.dumps(ERROR).encode()),
    st.integers(0, 2**31),
)
def test_an_answer_of_fcm_is_an_outcome(status: int, body: bytes, retry_after_s: int) -> None:
    reply = Reply(status, body, retry_after_s)
    assert isinstance(verdict.outcome_of(reply), Outcome)
    assert isinstance(verdict.is_refused_token(reply), bool)


@calmly
@given(
    st.integers(100, 599),
    st.none()
    | st.text(max_size=40)
    | st.sampled_from(["9" * 30, "-1", "Wed, 21 Oct 9999 07:28:00 GMT", "Mon, 99 Xxx", "1e5", "٣"]),
)
def test_an_answer_of_a_webhook_is_an_outcome(status: int, retry_after: str | None) -> None:
    assert isinstance(webhook_outcome(status, retry_after), Outcome)


@calmly
@given(fed(json.dumps(MESSAGE).encode()))
def test_the_stand_in_takes_a_message_or_refuses_it(body: bytes) -> None:
    request = read_request(body)
    if not isinstance(request, Refusal):
        judge(request[1])


@calmly
@given(st.binary(max_size=300) | spoilt([TASTES, OWN, packed_rhythm()]))
def test_a_packed_state_is_read_or_counts_as_nothing(data: bytes) -> None:
    for unpack in (tastes.unpack, rhythm.unpack, personal.unpack):
        with suppress(ValueError):
            assert len(unpack(data).pack()) > 0
    learned_state.tastes_in(data)
    learned_state.rhythm_in(data)
    learned_state.personal_in(data)


@calmly
@given(st.binary(max_size=400))
def test_a_taste_map_is_read_or_damaged(data: bytes) -> None:
    try:
        read = taste_map.unpack(1, data)
    except taste_map.DamagedTasteMapError:
        return
    assert taste_map.pack(read) == data


@calmly
@given(st.binary(max_size=200) | spoilt([SNAPSHOT]), st.booleans())
def test_a_snapshot_is_read_or_damaged(body: bytes, is_whole: bool) -> None:
    row: dict[str, Any] = {"version": 1, "body": body, "crc32": zlib.crc32(body) if is_whole else zlib.crc32(body) ^ 1}
    try:
        snapshots._read(row)
    except snapshots.SnapshotDamagedError:
        return
    assert is_whole


def record(*rows: bytes) -> bytes:
    bodies = [journal._ENCODER.encode(journal.Batch(("a", "b"), one)) for one in rows]
    return b"".join(journal._HEAD.pack(len(body), zlib.crc32(body)) + body for body in bodies)


@calmly
@given(st.lists(st.binary(max_size=30), max_size=4), st.binary(max_size=40) | spoilt([record(b"x")]))
def test_a_journal_is_read_up_to_what_is_not_whole(rows: list[bytes], rest: bytes) -> None:
    found, cut = journal.batches(record(*rows) + rest)
    assert [one.rows for one in found[: len(rows)]] == rows
    assert 0 <= cut <= len(rest)


def file_of_numbers() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, phi=np.ones((2, 3), np.float32), reward=np.zeros(2))
    return stream.getvalue()


@calmly
@given(st.binary(max_size=200) | spoilt([file_of_numbers()]))
def test_a_file_of_arrays_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = Path(tmp_path_factory.getbasetemp()) / "fuzz.npz"
    path.write_bytes(data)
    with suppress(npz.UnreadableError):
        npz.arrays(path, ("phi", "reward"))
