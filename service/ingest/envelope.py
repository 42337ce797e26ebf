"""From the bytes of POST /v1/events to events: the envelope as a whole, then each event by itself."""

import json
from collections.abc import Iterable
from typing import Final

import msgspec

from schema.event import BATCH_BYTES_MAX, EVENT_BYTES_MAX, EVENTS_MAX, Batch, Event, EventProblem
from service.errors import ApiError, field_error, has_nul, translate

_BATCH: Final = msgspec.json.Decoder(Batch)
_EVENT: Final = msgspec.json.Decoder(Event)


class Rejected(Exception):
    """One event cannot be taken: where (a pointer into the event), which rule, and what to do in words."""

    def __init__(self, pointer: str, code: str, detail: str) -> None:
        super().__init__(detail)
        self.pointer = pointer
        self.code = code

    def at(self, place: int) -> EventProblem:
        """The problem as it is told, for the event at this place of the batch."""
        return EventProblem(pointer=f"/batch/{place}{self.pointer}", code=self.code, detail=str(self))


def open_envelope(body: bytes) -> Batch:
    """Decodes the envelope; its events stay raw.

    Raises:
        ApiError: 413 for more bytes or events than a batch may have, 400 for what is not an envelope.
    """
    if len(body) > BATCH_BYTES_MAX:
        raise ApiError(413, "body_too_large", f"a batch may take {BATCH_BYTES_MAX} bytes; send several")
    try:
        batch = _decode_batch(body)
    except (ValueError, RecursionError) as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors
        raise translate(error) from None
    if len(batch.batch) > EVENTS_MAX:
        raise ApiError(413, "batch_too_large", f"a batch may hold {EVENTS_MAX} events; send several")
    return batch


def _decode_batch(body: bytes) -> Batch:
    try:
        return _BATCH.decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # msgspec stops at half a surrogate pair anywhere (a cut emoji, which JavaScript sends as "\\ud83d"); json lets it
        # pass, so that only its own event is refused.
        return _decode_loosely(body)


def _decode_loosely(body: bytes) -> Batch:
    try:
        loose = json.loads(body)
        events = [msgspec.Raw(json.dumps(event).encode()) for event in loose.pop("batch")]
    except (ValueError, KeyError, TypeError, AttributeError):
        return _BATCH.decode(body)  # it is not JSON after all: the first error stands
    return msgspec.convert({**loose, "batch": events}, Batch)


def decode(batch: Batch) -> list[Event | EventProblem]:
    """Decodes every event of a batch by itself."""
    return [_decoded(bytes(raw), place) for place, raw in enumerate(batch.batch)]


def offer_names(decoded: Iterable[Event | EventProblem]) -> set[str]:
    """The offers that the events speak of, by the app's names."""
    return {event.offer_id for event in decoded if isinstance(event, Event) and event.offer_id is not None}


def _decoded(raw: bytes, place: int) -> Event | EventProblem:
    try:
        return _decode(raw)
    except Rejected as rejected:
        return rejected.at(place)


def _decode(raw: bytes) -> Event:
    if len(raw) > EVENT_BYTES_MAX:
        raise Rejected("", "too_large", f"an event may take {EVENT_BYTES_MAX} bytes, this one takes {len(raw)}")
    if has_nul(raw):
        raise Rejected("", "invalid_field", "text must not hold the NUL character (\\u0000)")
    try:
        return _EVENT.decode(raw)
    except msgspec.ValidationError as error:
        wrong = field_error(str(error))
        raise Rejected(wrong.pointer, wrong.code, wrong.detail) from None
    except RecursionError:
        raise Rejected("", "malformed_json", "the event is nested too deeply") from None
    except ValueError as error:  # msgspec.DecodeError and UnicodeDecodeError among them
        raise Rejected("", "malformed_json", str(error)) from None
