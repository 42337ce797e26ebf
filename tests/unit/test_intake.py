"""What a batch leaves behind while its commit is waited for: a hundred requests wait at once."""

import sys
import weakref
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from service.ingest import envelope
from service.ingest.intake import Intake
from service.ingest.judge import Caller
from service.store.people import PersonKey, Speaker

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
BODY = b'{"sent_at":"2026-03-02T12:00:00Z","batch":[{"event_id":"e1","type":"view","user_id":"ann","occurred_at":"2026-03-02T11:00:00Z","properties":{"screen":"deals"}}]}'


class Clock:
    async def now(self) -> datetime:
        return NOW


class Decoded(list[Any]):
    """A list that can be watched."""


class Waiting:
    """Instead of the buffer: looks at what is held when the commit would be waited for."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.decoded: weakref.ref[Decoded] | None = None
        self.body_refs = 0
        self.is_decoded_held = True

    async def submit(self, events: Sequence[Any]) -> list[bool]:
        assert self.decoded is not None
        self.body_refs, self.is_decoded_held = sys.getrefcount(self._body), self.decoded() is not None
        return [True] * len(events)


async def test_of_what_was_decoded_nothing_is_held_for_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    body = bytes(bytearray(BODY))  # nobody else's
    buffer = Waiting(body)
    read = envelope.read

    def watched(given: bytes) -> envelope.Opened:
        opened = read(given)
        decoded = Decoded(opened.events)
        buffer.decoded = weakref.ref(decoded)
        return opened._replace(events=decoded)

    monkeypatch.setattr(envelope, "read", watched)
    given: Any = (Clock(), None, buffer)
    caller = Caller(True, False, lambda user_id, _: Speaker(PersonKey(0, str(user_id))))
    before = sys.getrefcount(body)
    answer = await Intake(*given).take(body, caller)
    assert (answer.accepted, answer.rejected) == (1, 0)
    assert not buffer.is_decoded_held
    assert buffer.body_refs == before
