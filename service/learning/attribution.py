"""Which exposure an answer belongs to, and the rows that both are to the shared model. Pure.

What is counted depends on what was told, not on its order or its division into passes:

- A slot is exposed at the earliest instant that it was shown or accepted at; accepted at any time it is a push.
- An answer that names its decision belongs to that slot. Any other belongs to the exposure of its offer that came last before it (of two
  at one instant, to the one with the greater decision and slot), if that one's window for the answer's head holds it and its decision is
  not much older than its showing.
- A redemption that was rolled back was never told.
- The reward of an exposure is, for each head, the earliest of its answers within the window. The rest count nothing. How long it took is
  the time until it was told, which is what the delay rule must know: a till may report once a day.

So all answers of the last days are kept (service.store.answers), and news of a slot or of an answer makes what it concerns be counted
anew: rows are added, and rows taken back. Two corners are left. Older answers stay where they were counted and are
not found again, which concerns only backfilled history told answers first. And when two users turn out to be one, what both were told of
an offer is seen together only from the next word of that offer on.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from bandits.delay import WINDOWS_S, cohort_at
from bandits.sums import Row, Rows, stack
from schema.event import EventType
from schema.ids import instant_of
from schema.snapshot import HEADS
from service.learning.facts import Fact
from service.store.answers import Answer
from service.store.decision_features import Drawn
from service.store.exposures import DECIDED_BEFORE_SHOWN_MAX, Exposure, ExposureKey

CLOCK_SKEW_S: Final = 300.0
"""An answer may seem to come this long before its exposure: a phone is quicker than FCM's word to us, and its clock is its own."""

_SHOWING: Final = -1
REDEEM: Final = HEADS.index("redeem")

_Said = tuple[datetime, int]
"""An answer's instant and head."""

_Words = dict[_Said, datetime]
"""What was said, and when we were first told of it."""

_OfOffer = tuple[int, int]
"""A user and an offer."""


_OfHeads = tuple[datetime | None, datetime | None]


class Turn(NamedTuple):
    """What was counted of a slot (None: nothing) and what is from now on."""

    key: ExposureKey
    before: Exposure | None
    after: Exposure


class _Part(NamedTuple):
    """What an exposure adds to the sums: its showing (head -1), and the first answer of a head, told at an instant."""

    exposed_at: datetime
    head: int
    told_at: datetime


class Attribution:
    """The exposures and answers of one pass, and what there is to be counted of them."""

    def __init__(
        self,
        exposures: Mapping[ExposureKey, Exposure],
        answers: Iterable[Answer],
        drawn: Mapping[tuple[int, UUID], Drawn],
        now_s: float,
    ) -> None:
        self._counted = dict(exposures)
        self._exposed_at = {key: exposure.exposed_at for key, exposure in exposures.items()}
        self._pushed = {key for key, exposure in exposures.items() if exposure.is_push}
        self._drawn = drawn
        self._now_s = now_s
        self._of_offer: defaultdict[_OfOffer, set[ExposureKey]] = defaultdict(set)
        self._named: defaultdict[ExposureKey, _Words] = defaultdict(dict)
        self._unnamed: defaultdict[_OfOffer, _Words] = defaultdict(dict)
        for answer in answers:
            _hear(self._said_by(answer), (answer.answered_at, answer.head), instant_of(answer.event_id))
        for key, exposure in exposures.items():
            self._remember(key, exposure)
        self._rows: defaultdict[tuple[int, int], list[Row]] = defaultdict(list)
        self.changed: dict[ExposureKey, Exposure] = {}
        self.told: list[Answer] = []
        self.taken_back: set[tuple[int, UUID]] = set()

    def rows(self) -> dict[tuple[int, int], Rows]:
        """What was counted and taken back so far, by partition and cohort."""
        return {key: stack(rows) for key, rows in self._rows.items()}

    def expose(self, fact: Fact) -> list[Turn]:
        """Counts an offer that was shown; all slots of which something else is counted now."""
        key = _key(fact)
        if key is None or (offer_id := self._offer_of(key)) is None:
            return []
        known_at = self._exposed_at.get(key)
        is_earlier = known_at is None or fact.entry.occurred_at < known_at
        is_first_push = fact.entry.type == EventType.ACCEPTED and key not in self._pushed
        if is_first_push:
            self._pushed.add(key)
        if is_earlier:
            self._exposed_at[key] = fact.entry.occurred_at
        if not (is_earlier or is_first_push):
            return []
        of_offer = (key.user_id, offer_id)
        self._of_offer[of_offer].add(key)
        return self._settle(fact.partition, self._of_offer[of_offer] if self._unnamed.get(of_offer) else (key,))

    def answer(self, fact: Fact, head: int) -> list[Turn]:
        """Counts an answer where it belongs; all slots of which something else is counted now."""
        entry, key = fact.entry, _key(fact)
        if key is None and not entry.offer_id:
            return []
        if key is not None and key[:2] in self._drawn and self._offer_of(key) is None:
            return []  # a slot the decision did not have
        told = Answer(
            fact.user_id, entry.event_id, entry.occurred_at, head, entry.offer_id, entry.decision_id, entry.slot
        )
        if (told.user_id, told.event_id) in self.taken_back:
            return []
        if not _hear(self._said_by(told), (told.answered_at, head), instant_of(told.event_id)):
            return []
        self.told.append(told)
        if key is None:
            return self._settle(fact.partition, self._of_offer.get((fact.user_id, entry.offer_id), ()))
        return self._settle(fact.partition, (key,) if key in self._exposed_at else ())

    def take_back(self, fact: Fact) -> list[Turn]:
        """Uncounts a redemption that was rolled back, as if it had never been told; all slots of which something else is counted now."""
        entry, of_offer = fact.entry, (fact.user_id, fact.entry.offer_id)
        if entry.takes_back is None:
            return []
        self.taken_back.add((fact.user_id, entry.takes_back))
        self.told = [one for one in self.told if (one.user_id, one.event_id) not in self.taken_back]
        keys, said = self._of_offer.get(of_offer, set()), (entry.occurred_at, REDEEM)
        for words in (self._unnamed.get(of_offer), *(self._named.get(key) for key in keys)):
            if words is not None:
                words.pop(said, None)
        return self._settle(fact.partition, keys)

    def _said_by(self, answer: Answer) -> _Words:
        if answer.decision_id is None:
            return self._unnamed[answer.user_id, answer.offer_id]
        return self._named[ExposureKey(answer.user_id, answer.decision_id, answer.slot)]

    def _remember(self, key: ExposureKey, exposure: Exposure) -> None:
        """An answer that was counted and is not kept any more stays where it is."""
        self._of_offer[key.user_id, exposure.offer_id].add(key)
        unnamed = self._unnamed.get((key.user_id, exposure.offer_id), {})
        for head, (at, told_at) in enumerate(zip(exposure.answered_at, exposure.told_at, strict=True)):
            if at is not None and (at, head) not in unnamed:
                _hear(self._named[key], (at, head), told_at or at)

    def _settle(self, partition: int, keys: Iterable[ExposureKey]) -> list[Turn]:
        turns = []
        for key in sorted(keys):
            offer_id, before = self._offer_of(key), self._counted.get(key)
            if offer_id is None:
                continue
            answered_at, told_at = self._rewards(key, offer_id)
            after = Exposure(offer_id, self._exposed_at[key], answered_at, key in self._pushed, told_at)
            if after != before:
                self._count(partition, key, before, after)
                turns.append(Turn(key, before, after))
        return turns

    def _rewards(self, key: ExposureKey, offer_id: int) -> tuple[_OfHeads, _OfHeads]:
        """When the slot was answered and when that was told, by head."""
        own = dict(self._named.get(key, {}))
        for said, told_at in self._unnamed.get((key.user_id, offer_id), {}).items():
            if self._owner(key.user_id, offer_id, said) == key:
                _hear(own, said, told_at)
        exposed_at = self._exposed_at[key]
        within = [said for said in own if -CLOCK_SKEW_S <= _age_s(exposed_at, said[0]) <= WINDOWS_S[said[1]]]
        opened, redeemed = (min((said for said in within if said[1] == head), default=None) for head in (0, 1))
        return (
            (opened and opened[0], redeemed and redeemed[0]),
            (own[opened] if opened else None, own[redeemed] if redeemed else None),
        )

    def _owner(self, user_id: int, offer_id: int, said: _Said) -> ExposureKey | None:
        """The exposure that an answer which names none belongs to."""
        at, head = said
        found = [
            (exposed_at, key)
            for key in self._of_offer[user_id, offer_id]
            if (exposed_at := self._exposed_at[key]) <= at
            and _age_s(exposed_at, at) <= WINDOWS_S[head]
            # exposures.of_offers does not look further
            and exposed_at - instant_of(key.decision_id) <= DECIDED_BEFORE_SHOWN_MAX
        ]
        return max(found)[1] if found else None

    def _count(self, partition: int, key: ExposureKey, before: Exposure | None, after: Exposure) -> None:
        old, new = _parts(before), _parts(after)
        for part in old:
            if part not in new:
                self._add(partition, key, part, -1.0)
        for part in new:
            if part not in old:
                self._add(partition, key, part, 1.0)
        self._counted[key] = self.changed[key] = after

    def _add(self, partition: int, key: ExposureKey, part: _Part, count: float) -> None:
        exposed_s, drawn = part.exposed_at.timestamp(), self._drawn[key[:2]]
        row = Row(drawn.phi[key.slot], exposed_s, float(drawn.offsets[key.slot]))
        if part.head == _SHOWING:
            row = row._replace(shown=count)
        else:
            age_s = max(part.told_at.timestamp() - exposed_s, 0.0)
            row = row._replace(answered=_of_head(part.head, count), age_s=_of_head(part.head, age_s))
        self._rows[partition, cohort_at(exposed_s, self._now_s)].append(row)

    def _offer_of(self, key: ExposureKey) -> int | None:
        drawn = self._drawn.get(key[:2])
        return drawn.offer_ids[key.slot] if drawn is not None and key.slot < len(drawn.offer_ids) else None


def _key(fact: Fact) -> ExposureKey | None:
    decision_id = fact.entry.decision_id
    return None if decision_id is None else ExposureKey(fact.user_id, decision_id, fact.entry.slot)


def _age_s(exposed_at: datetime, at: datetime) -> float:
    return (at - exposed_at).total_seconds()


def _parts(exposure: Exposure | None) -> list[_Part]:
    if exposure is None:
        return []
    parts = [_Part(exposure.exposed_at, _SHOWING, exposure.exposed_at)]
    parts += [_Part(exposure.exposed_at, head, at) for head, at in enumerate(exposure.told_at) if at is not None]
    return parts


def _hear(words: _Words, said: _Said, told_at: datetime) -> bool:
    """Notes what was said; False when it was known, from an earlier word."""
    known = words.get(said)
    if known is not None and known <= told_at:
        return False
    words[said] = told_at
    return True


def _of_head(head: int, value: float) -> tuple[float, ...]:
    return tuple(value if place == head else 0.0 for place in range(len(HEADS)))
