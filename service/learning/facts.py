"""One pass of the fold: the facts to be counted, and what has to be known to count them."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from bandits.words import SAID
from schema.event import EventType
from schema.ids import lowest_uuid7
from schema.log import LogEntry
from service.store.answers import Answer
from service.store.catalogue import Catalogue
from service.store.decision_features import Drawn
from service.store.exposures import Exposure, ExposureKey
from service.store.user_state import State

EXPOSING: Final = frozenset({EventType.SHOWN, EventType.ACCEPTED})
HEAD_OF: Final = {EventType.OPENED: 0, EventType.REDEEMED: 1}
"""The head of schema.snapshot.HEADS that an answer is a reward of."""

_NAMES_A_DECISION: Final = EXPOSING | HEAD_OF.keys() | SAID.keys()

ABOUT_OFFERS: Final = EXPOSING | HEAD_OF.keys() | {EventType.REDEMPTION_ROLLED_BACK}

DECISION_AGE_MAX: Final = timedelta(days=30)
_CLOCK_AHEAD_MAX: Final = timedelta(hours=1)


class Fact(NamedTuple):
    """An entry of the log with the partition it was read from and the user who is that person now."""

    partition: int
    user_id: int
    entry: LogEntry


class Known(NamedTuple):
    """What was known of the people, decisions and offers of a pass before it."""

    states: Mapping[int, State]
    exposures: Mapping[ExposureKey, Exposure]
    answers: Collection[Answer]
    drawn: Mapping[tuple[int, UUID], Drawn]
    catalogue: Catalogue
    ripe_through: datetime
    """Showings of that instant and before count as unanswered in people's own parts unless they were redeemed."""


def sound(facts: Iterable[Fact], now: datetime) -> list[Fact]:
    """Without those about an offer shown by a decision that cannot exist: a client made up the id, or it is long gone.

    A word about such a decision is one about the offer alone.
    """
    earliest, latest = lowest_uuid7(now - DECISION_AGE_MAX), lowest_uuid7(now + _CLOCK_AHEAD_MAX)
    return [
        _grounded(fact, earliest, latest) if fact.entry.type in _NAMES_A_DECISION else fact
        for fact in facts
        if fact.entry.type not in _NAMES_A_DECISION or _is_sound(fact.entry, earliest, latest)
    ]


def _grounded(fact: Fact, earliest: UUID, latest: UUID) -> Fact:
    decision_id = fact.entry.decision_id
    if fact.entry.type not in SAID or decision_id is None or earliest <= decision_id <= latest:
        return fact
    return fact._replace(entry=msgspec.structs.replace(fact.entry, decision_id=None))


def _is_sound(entry: LogEntry, earliest: UUID, latest: UUID) -> bool:
    if entry.type in EXPOSING:
        return entry.decision_id is not None and earliest <= entry.decision_id <= latest
    if entry.type in HEAD_OF:
        return entry.decision_id is None or earliest <= entry.decision_id <= latest
    return True
