"""Which of the decoded events may be written, and when they truly happened."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, NamedTuple
from uuid import UUID

import msgspec

from schema.event import CODES, Event, EventProblem, EventType, Tag
from service.errors import ApiError
from service.ingest.checked import CheckedEvent
from service.ingest.envelope import Rejected
from service.store import event_ids
from service.store.people import Speaker

SKEW_TOLERATED: Final = timedelta(seconds=30)
FUTURE_TOLERATED: Final = timedelta(minutes=1)
AGE_MAX: Final = timedelta(days=7)
BACKFILL_AGE_MAX: Final = timedelta(days=400)

_NO_TIME: Final = timedelta()
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
# To name a member of an Enum takes longer than what is done with it.
_REDEEMED: Final = EventType.REDEEMED
_DISMISSED: Final = EventType.DISMISSED
_Tags = Annotated[list[Tag], msgspec.Meta(max_length=64)]
_ENCODER: Final = msgspec.json.Encoder()


class _Tagged(msgspec.Struct, gc=False):
    """What is looked at in properties; to convert to a struct costs a fifth of converting to an annotated list."""

    tags: _Tags


class Caller(NamedTuple):
    """What the key allows: `acts_as(user_id, anonymous_id)` says for whom, or raises ApiError."""

    is_secret: bool
    may_backfill: bool
    acts_as: Callable[[str | None, str | None], Speaker]


class Moment(NamedTuple):
    """When a batch was received, and what to add to its clients' instants."""

    now: datetime
    correction: timedelta


def moment(sent_at: datetime, now: datetime) -> Moment:
    """A client's clock is wrong by now - sent_at; less than SKEW_TOLERATED is the way of the message and left alone."""
    skew = now - sent_at
    return Moment(now, skew if abs(skew) > SKEW_TOLERATED else timedelta())


class Judged(NamedTuple):
    """By their place in the batch and in its order, the events that may be written, and why the others may not."""

    accepted: dict[int, CheckedEvent]
    problems: dict[int, EventProblem]


def judge(
    decoded: Sequence[Event | EventProblem], received: Moment, caller: Caller, offer_ids: Mapping[str, int]
) -> Judged:
    """Judges each event by itself."""
    accepted: dict[int, CheckedEvent] = {}
    problems: dict[int, EventProblem] = {}
    taken = _Taken(received, BACKFILL_AGE_MAX if caller.may_backfill else AGE_MAX)
    for place, event in enumerate(decoded):
        if isinstance(event, EventProblem):
            problems[place] = event
            continue
        try:
            accepted[place] = _check(event, taken, caller, offer_ids)
        except Rejected as rejected:
            problems[place] = rejected.at(place)
    return Judged(accepted, problems)


class _Taken:
    """Between which instants events are taken, and between which they may be told as they are: from `earliest` to `now` where no clock is wrong."""

    __slots__ = ("age_max", "correction", "earliest", "now")

    def __init__(self, received: Moment, age_max: timedelta) -> None:
        self.now, self.correction = received
        self.age_max = age_max
        self.earliest = _NEVER if self.correction else self.now - age_max


def _check(event: Event, taken: _Taken, caller: Caller, offer_ids: Mapping[str, int]) -> CheckedEvent:
    kind = CODES[event.type]
    if kind is _REDEEMED and not caller.is_secret:
        raise Rejected("/type", "forbidden", "a redemption is told by the till, with a secret key")
    told = event.occurred_at
    # By place: at some thousands a second the names of eleven fields are a tenth of the judging.
    return CheckedEvent(
        _speaker(event, caller),
        _key(event, kind),
        kind,
        told if taken.earliest <= told <= taken.now and told.tzinfo is UTC else _occurred_at(told, taken),
        taken.now,
        None if event.offer_id is None else _offer(event.offer_id, offer_ids),
        event.decision_id,
        event.slot,
        _tags(event.properties) if "tags" in event.properties else (),
        caller.is_secret,
        _text(event.properties) if event.properties else b"{}",
    )


def _key(event: Event, kind: EventType) -> UUID:
    """What repeats it. A dismissal counts once by feedback and events together; openings and redemptions do so in attribution, the earliest."""
    if kind is _DISMISSED and event.decision_id is not None:
        return event_ids.answer_key(event.decision_id, event.slot, kind)
    return event_ids.key_of(event.event_id)


def _speaker(event: Event, caller: Caller) -> Speaker:
    if (event.user_id is None) == (event.anonymous_id is None):
        raise Rejected("/user_id", "invalid_field", "name the person by exactly one of user_id and anonymous_id")
    try:
        return caller.acts_as(event.user_id, event.anonymous_id)
    except ApiError as error:
        raise Rejected("/user_id" if event.user_id else "/anonymous_id", error.code, error.detail) from None


def _occurred_at(told: datetime, taken: _Taken) -> datetime:
    try:
        age = taken.now - told - taken.correction
    except OverflowError:
        raise Rejected("/occurred_at", "invalid_field", "no such instant") from None
    if age < -FUTURE_TOLERATED:
        raise Rejected("/occurred_at", "in_future", "the event happens after it was sent")
    if age > taken.age_max:
        raise Rejected("/occurred_at", "too_old", f"events are taken for {taken.age_max.days} days after they happened")
    return taken.now - max(age, _NO_TIME)  # in UTC


def _offer(name: str, offer_ids: Mapping[str, int]) -> int:
    if name not in offer_ids:
        raise Rejected("/offer_id", "unknown_offer", "no offer of this name was ever uploaded")
    return offer_ids[name]


def _tags(properties: dict[str, Any]) -> tuple[str, ...]:
    try:
        return tuple(dict.fromkeys(msgspec.convert(properties, _Tagged).tags))
    except msgspec.ValidationError:
        pass
    try:  # again, for words that tell the place among the tags
        return tuple(dict.fromkeys(msgspec.convert(properties["tags"], _Tags)))
    except msgspec.ValidationError as error:
        raise Rejected("/properties/tags", "invalid_field", str(error)) from None


def _text(properties: dict[str, Any]) -> bytes:
    try:
        return _ENCODER.encode(properties)
    except (ValueError, OverflowError, RecursionError):
        raise Rejected("/properties", "invalid_field", "a number is too large or a value nested too deeply") from None
