"""From the bytes of POST /v1/events to events: the envelope as a whole, then each event by itself."""

import contextlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from schema.base import Incoming
from schema.event import (
    BATCH_BYTES_MAX,
    EVENT_BYTES_MAX,
    EVENTS_MAX,
    Batch,
    Event,
    EventProblem,
    Instant,
    Text,
    WrittenBatch,
)
from schema.pointer import place_of_nul, pointer_to
from schema.problem import Code, FieldError
from service.errors import ApiError, field_error, invalid_field, translate
from service.ingest import split


class _FitEvent(Event, frozen=True, gc=False):
    """An event of a body in which no id can be unfit: to match the rule of ids takes half of all decoding."""

    user_id: Text | None = None
    anonymous_id: Text | None = None


class _FitBatch(Incoming, frozen=True):
    sent_at: Instant
    batch: Annotated[list[_FitEvent], Meta(max_length=EVENTS_MAX)]


_Decoder = msgspec.json.Decoder[WrittenBatch] | msgspec.json.Decoder[_FitBatch]

_BATCH: Final = msgspec.json.Decoder(Batch)
_WHOLE: Final = msgspec.json.Decoder(WrittenBatch)
_WHOLE_FIT: Final = msgspec.json.Decoder(_FitBatch)
# What an unfit id is written with (schema.external_id): an escape, a slash, DEL, the first byte of 0x80 to 0x9f, dots alone, of which the last
# ends its text. A control character as it is is no JSON.
_OF_UNFIT_IDS: Final = (b"\\", b"/", b"\x7f", b"\xc2", b'."')
_BATCH_NAME: Final = b'"batch"'
_ANY: Final = msgspec.json.Decoder()
_EVENT: Final = msgspec.json.Decoder(Event)
_ESCAPE, _NUL = b"\\", b"\\u0000"


class Rejected(Exception):
    """One event cannot be taken: where (a pointer into the event), which rule, and what to do in words."""

    def __init__(self, pointer: str, code: str, detail: str) -> None:
        super().__init__(detail)
        self.pointer = pointer
        self.code = code

    def at(self, place: int) -> EventProblem:
        """The problem as it is told, for the event at this place of the batch."""
        return EventProblem(pointer=f"/batch/{place}{self.pointer}", code=self.code, detail=str(self))


class Opened(NamedTuple):
    """A batch by the clock of its sender; each event, or why it cannot be taken."""

    sent_at: datetime
    events: Sequence[Event | EventProblem]


def read(body: bytes) -> Opened:
    """Decodes a batch and every event of it.

    In one piece where that goes well, as nearly always; else by `open_envelope` and `decode`, which would have come to the same.

    Raises:
        ApiError: 413 for more bytes or events than a batch may have, 400 for what is not an envelope.
    """
    # One byte is found by an instruction for it, six in a loop that takes fifteen times as long.
    if len(body) <= EVENT_BYTES_MAX and not (_ESCAPE in body and _NUL in body):
        with contextlib.suppress(ValueError, RecursionError):
            decoder: _Decoder = _WHOLE if any(sign in body for sign in _OF_UNFIT_IDS) else _WHOLE_FIT
            return Opened(*msgspec.structs.astuple(decoder.decode(body)))
    batch = open_envelope(body)
    return Opened(batch.sent_at, decode(batch))


def open_envelope(body: bytes) -> Batch:
    """Decodes the envelope; its events stay raw.

    Raises:
        ApiError: 413 for more bytes or events than a batch may have, 400 for what is not an envelope.
    """
    if len(body) > BATCH_BYTES_MAX:
        raise _too_much("body_too_large", "", f"a batch may take {BATCH_BYTES_MAX} bytes; send several")
    try:
        batch = _decode_batch(body)
    except (ValueError, RecursionError) as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors
        raise translate(error) from None
    if len(batch.batch) > EVENTS_MAX:
        raise _too_much("batch_too_large", "/batch", f"a batch may hold {EVENTS_MAX} events; send several")
    return batch


def _too_much(code: Code, pointer: str, detail: str) -> ApiError:
    return ApiError(413, code, detail, [FieldError(pointer=pointer, code=code, detail=detail)])


def _decode_batch(body: bytes) -> Batch:
    try:
        return _BATCH.decode(body)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # msgspec stops at what is no JSON in any event, such as half a surrogate pair (a cut emoji, which JavaScript sends as
        # "\\ud83d") or a value nested too deeply. Split by its commas the batch loses that event alone.
        members = split.members(body)
        if members is None:
            raise
        return _decode_members(members, error)


def _decode_members(members: list[tuple[bytes, bytes]], error: Exception) -> Batch:
    """The batch of an envelope's members. Raises `error` when its events cannot be told apart, ApiError 400 for another member."""
    shell = [name + b":" + _decodable(name, value) for name, value in members if name != _BATCH_NAME]
    batches = [value for name, value in members if name == _BATCH_NAME]
    events = split.parts(batches[-1], split.ARRAY) if batches else None
    if events is None:
        raise error
    envelope = _BATCH.decode(b"{" + b",".join([*shell, _BATCH_NAME + b":[]"]) + b"}")
    return msgspec.structs.replace(envelope, batch=[msgspec.Raw(event) for event in events])


def _decodable(name: bytes, value: bytes) -> bytes:
    """The value as it is. Raises ApiError 400 that names the member when it is no JSON."""
    pointer = ""
    try:
        pointer = pointer_to(_ANY.decode(name))
        _ANY.decode(value)
    except (ValueError, RecursionError) as error:
        raise invalid_field(pointer, translate(error).detail, "malformed_json") from None
    return value


def decode(batch: Batch) -> Sequence[Event | EventProblem]:
    """Decodes every event of a batch by itself."""
    texts = [bytes(raw) for raw in batch.batch]
    if not any(len(text) > EVENT_BYTES_MAX or _NUL in text for text in texts):
        with contextlib.suppress(ValueError, RecursionError):
            return [_EVENT.decode(text) for text in texts]  # as nearly always: all of them good
    return [_decoded(text, place) for place, text in enumerate(texts)]


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
    nul = place_of_nul(raw)
    if nul is not None:
        raise Rejected(nul, "invalid_field", "text must not hold the NUL character (\\u0000)")
    try:
        return _EVENT.decode(raw)
    except msgspec.ValidationError as error:
        wrong = field_error(str(error))
        raise Rejected(wrong.pointer, wrong.code, wrong.detail) from None
    except RecursionError:
        raise Rejected("", "malformed_json", "the event is nested too deeply") from None
    except ValueError as error:  # msgspec.DecodeError and UnicodeDecodeError among them
        raise Rejected("", "malformed_json", str(error)) from None
