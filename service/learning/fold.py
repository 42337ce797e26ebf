"""Counts the entries of one pass: what they change in what is known of people, exposures, and the sums of the shared model. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from bandits.lessons import Lessons
from bandits.personal import LoggedRow, Personal
from bandits.population import Population
from bandits.rhythm import Rhythm
from bandits.sums import Rows
from bandits.tastes import UnknownStateError
from bandits.words import INTEREST_OF, SAID
from schema.event import EventType
from service.learning import own_part
from service.learning.attribution import Attribution, Turn
from service.learning.facts import EXPOSING, HEAD_OF, Fact, Known
from service.learning.in_order import in_order
from service.store.answers import Answer
from service.store.catalogue import Catalogue
from service.store.exposures import Exposure, ExposureKey
from service.store.learned_state import personal_in, readable_tastes, rhythm_in
from service.store.user_state import State

_NOBODY: Final = State()
# To name a member of an Enum, and to compare with one, takes longer than most of what is done with it.
_PURCHASE: Final = EventType.PURCHASE.value
_APP_OPEN: Final = EventType.APP_OPEN.value
_ROLLED_BACK: Final = EventType.REDEMPTION_ROLLED_BACK.value


class Changes(NamedTuple):
    """What a pass changes: states and exposures whole; answers, rows by (partition, cohort) and populations by partition to be counted.

    Answers that were taken back are named by user and event.
    """

    states: Mapping[int, State]
    exposures: Mapping[ExposureKey, Exposure]
    answers: Sequence[Answer]
    taken_back: Collection[tuple[int, UUID]]
    rows: Mapping[tuple[int, int], Rows]
    populations: Mapping[int, Population]


def fold(facts: Sequence[Fact], known: Known, now_s: float) -> Changes:
    """Counts the facts in the order of (occurred_at, event_id)."""
    one_pass = _Pass(known, now_s)
    for fact in in_order(facts):
        one_pass.take(fact)
    shown = one_pass.shown
    return Changes(
        one_pass.people.packed(), shown.changed, shown.told, shown.taken_back, shown.rows(), one_pass.populations
    )


class _Pass:
    def __init__(self, known: Known, now_s: float) -> None:
        self._catalogue = known.catalogue
        self.people = _People(known.states)
        self._drawn = known.drawn
        self._ripe_through = known.ripe_through
        self.shown = Attribution(known.exposures, known.answers, known.drawn, now_s)
        self.populations: dict[int, Population] = {}

    def take(self, fact: Fact) -> None:
        kind = fact.entry.type
        if kind == _PURCHASE:
            self._bought(fact)
        elif kind == _APP_OPEN:
            self._visited(fact)
        elif kind in EXPOSING:
            self._count_turns(fact.user_id, self.shown.expose(fact))
        elif kind in HEAD_OF:
            self._count_turns(fact.user_id, self.shown.answer(fact, HEAD_OF[EventType(kind)]))
        elif kind == _ROLLED_BACK:
            self._count_turns(fact.user_id, self.shown.take_back(fact))
        elif kind in INTEREST_OF:
            self._interested(fact, INTEREST_OF[kind])
        if kind in SAID:
            self._spoke(fact)

    def _bought(self, fact: Fact) -> None:
        entry = fact.entry
        at_s = entry.occurred_at.timestamp()
        self.people.lessons.bought(fact.user_id, entry.tag_ids, at_s)
        if (counted := self.populations.get(fact.partition)) is None:
            counted = self.populations[fact.partition] = Population()
        counted.bought(entry.tag_ids, entry.local_hour, at_s)
        self._visited(fact)

    def _visited(self, fact: Fact) -> None:
        if fact.entry.local_hour >= 0:
            self.people.rhythm(fact.user_id).visited(fact.entry.local_hour, fact.entry.occurred_at.timestamp())

    def _interested(self, fact: Fact, weight: float) -> None:
        tag_ids = fact.entry.tag_ids or _tags_of(self._catalogue, fact.entry.offer_id or self._offer_of(fact))
        if tag_ids:
            self.people.lessons.interested(fact.user_id, tag_ids, fact.entry.occurred_at.timestamp(), weight)

    def _offer_of(self, fact: Fact) -> int:
        """Of a word that names no more than its decision the offer it is about; 0 when that is not known."""
        entry = fact.entry
        drawn = self._drawn.get((fact.user_id, entry.decision_id)) if entry.decision_id and entry.type in SAID else None
        return drawn.offer_ids[entry.slot] if drawn is not None and entry.slot < len(drawn.offer_ids) else 0

    def _spoke(self, fact: Fact) -> None:
        if row := self._row(fact.user_id, fact.entry.decision_id, fact.entry.slot):
            own_part.count_word(self.people.own(fact.user_id), fact, row)

    def _count_turns(self, user_id: int, turns: Sequence[Turn]) -> None:
        self._count_showings(user_id, turns)
        for turn in turns:
            changed = own_part.difference(turn, self._ripe_through)
            if changed and (row := self._row(user_id, turn.key.decision_id, turn.key.slot)):
                for counted in changed:
                    own_part.count(self.people.own(user_id), row, counted)

    def _row(self, user_id: int, decision_id: UUID | None, slot: int) -> LoggedRow | None:
        """The slot as it was decided; None when nothing personal was used."""
        drawn = None if decision_id is None else self._drawn.get((user_id, decision_id))
        return None if drawn is None else drawn.own_row(slot)

    def _count_showings(self, user_id: int, turns: Iterable[Turn]) -> None:
        # Taken back at the instant of the showing, whatever is left of it: what an answer undoes is that showing and no other.
        for turn in turns:
            for at_s, count in _difference(_unanswered_push_at(turn.before), _unanswered_push_at(turn.after)):
                self.people.lessons.pushed(user_id, at_s, count)
            tag_ids = _tags_of(self._catalogue, turn.after.offer_id)
            if tag_ids:
                for at_s, count in _difference(_unanswered_at(turn.before), _unanswered_at(turn.after)):
                    self.people.lessons.shown(user_id, tag_ids, at_s, count)


def _unanswered_at(exposure: Exposure | None) -> datetime | None:
    return None if exposure is None or any(exposure.answered_at) else exposure.exposed_at


def _unanswered_push_at(exposure: Exposure | None) -> datetime | None:
    return _unanswered_at(exposure) if exposure is not None and exposure.is_push else None


def _difference(was: datetime | None, is_now: datetime | None) -> list[tuple[float, float]]:
    """Instants to be counted with their signs."""
    if was == is_now:
        return []
    return [(at.timestamp(), count) for at, count in ((was, -1.0), (is_now, 1.0)) if at is not None]


class _People:
    """The states of a pass, unpacked when they are first needed; tastes are taught all at once in the end."""

    def __init__(self, states: Mapping[int, State]) -> None:
        self._packed = states
        self.lessons = Lessons()
        self._rhythms: dict[int, Rhythm] = {}
        self._own: dict[int, Personal] = {}

    def rhythm(self, user_id: int) -> Rhythm:
        found = self._rhythms.get(user_id)
        if found is None:
            found = self._rhythms[user_id] = rhythm_in(self._packed.get(user_id, _NOBODY).rhythm, user_id)
        return found

    def own(self, user_id: int) -> Personal:
        found = self._own.get(user_id)
        if found is None:
            found = self._own[user_id] = personal_in(self._packed.get(user_id, _NOBODY).personal, user_id)
        return found

    def packed(self) -> dict[int, State]:
        """The states that were touched."""
        tastes = self._taught()
        return {user_id: self._state(user_id, tastes) for user_id in sorted(tastes | self._rhythms | self._own)}

    def _taught(self) -> dict[int, bytes]:
        user_ids = self.lessons.user_ids
        before = [self._packed.get(user_id, _NOBODY).tastes for user_id in user_ids]
        try:
            taught = self.lessons.taught(before)
        except UnknownStateError:
            pairs = zip(before, user_ids, strict=True)
            taught = self.lessons.taught([readable_tastes(packed, user_id) for packed, user_id in pairs])
        return dict(zip(user_ids, taught, strict=True))

    def _state(self, user_id: int, tastes: Mapping[int, bytes]) -> State:
        before = self._packed.get(user_id, _NOBODY)
        taught, came, own = tastes.get(user_id), self._rhythms.get(user_id), self._own.get(user_id)
        return State(
            before.tastes if taught is None else taught,
            came.pack() if came else before.rhythm,
            own.pack() if own else before.personal,
        )


def _tags_of(catalogue: Catalogue, offer_id: int) -> list[int]:
    """The tags by which an offer teaches tastes: none for offers that never use tastes, and for those that are gone."""
    index = catalogue.index_by_id.get(offer_id)
    if index is None or catalogue.is_sensitive[index] or catalogue.min_age[index] > 0:
        return []
    return catalogue.offers[index].tag_ids
