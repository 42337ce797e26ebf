"""The fold: the same entries in any order, in any passes and sent again give the same sums, exposures and showings."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandits import personal, tastes
from bandits import sums as sums_of
from bandits.delay import WINDOWS_S, cohort_at
from bandits.features import DIMS
from bandits.kernels import personal as kernels
from bandits.kernels.tastes import shown_at
from bandits.personal import LoggedRow, Personal
from bandits.sums import Sums
from schema.event import EventType
from schema.ids import partition_of, stable_entropy, uuid7
from schema.log import LogEntry
from schema.offer import Creative, Offer, StoredOffer
from service.learning.attribution import CLOCK_SKEW_S
from service.learning.facts import HEAD_OF, Fact, Known
from service.learning.fold import fold
from service.store import catalogue as catalogues
from service.store.answers import Answer
from service.store.decision_features import Drawn
from service.store.exposures import Exposure, ExposureKey
from service.store.user_state import State
from tests.counting import EPOCH, Tally

START = datetime(2026, 3, 2, tzinfo=UTC)
NOW = START + timedelta(hours=90)
PEOPLE = 2
DECISIONS = 3
OFFERS = (1, 2)
"""Those of the slots of every decision; each carries the tag with its own number."""


def offer(number: int) -> StoredOffer:
    return StoredOffer(
        id=number, tag_ids=[number], offer=Offer(offer_id=str(number), creative=Creative(title="Deal"), tags=["x"])
    )


CATALOGUE = catalogues.compose(1, [offer(number) for number in OFFERS], {})


class Told(NamedTuple):
    """decision is None for an answer that names none: it is about the offer of `slot`."""

    user_id: int
    decision: int | None
    slot: int
    kind: EventType
    minutes: int
    late: int = 0  # minutes until we were told


def decision_id(user_id: int, decision: int) -> UUID:
    return uuid7(START, stable_entropy(bytes([user_id, decision])))


def phi_of(user_id: int, decision: int) -> np.ndarray:
    return np.random.default_rng([user_id, decision]).uniform(0.0, 1.0, (2, DIMS)).astype(np.float32)


def own_of(user_id: int, decision: int) -> tuple[LoggedRow, ...]:
    z = np.random.default_rng([user_id, decision, 7]).normal(size=(len(OFFERS), personal.DIMS)).astype(np.float32)
    return tuple(LoggedRow(one, -1.5 - slot, 0.25) for slot, one in enumerate(z))


DRAWN = {
    (user_id, decision_id(user_id, decision)): Drawn(
        list(OFFERS), phi_of(user_id, decision), np.zeros(2, np.float32), own_of(user_id, decision)
    )
    for user_id in range(1, PEOPLE + 1)
    for decision in range(DECISIONS)
}


def fact(told: Told) -> Fact:
    at = START + timedelta(minutes=told.minutes)
    event_id = uuid7(at + timedelta(minutes=told.late), stable_entropy(repr(told).encode()))
    entry = LogEntry(told.user_id, event_id, told.kind, at, offer_id=OFFERS[told.slot])
    if told.decision is not None:
        entry = LogEntry(
            told.user_id, event_id, told.kind, at, decision_id=decision_id(told.user_id, told.decision), slot=told.slot
        )
    return Fact(partition_of(told.user_id), told.user_id, entry)


class World:
    """What the database keeps between passes."""

    def __init__(self) -> None:
        self.exposures: dict[ExposureKey, Exposure] = {}
        self.answers: dict[UUID, Answer] = {}
        self.states: dict[int, State] = {}
        self.sums: dict[int, Sums] = {}
        self.ripe_through = START

    def learn(self, facts: Sequence[Fact]) -> None:
        known = Known(self.states, self.exposures, list(self.answers.values()), DRAWN, CATALOGUE, self.ripe_through)
        changes = fold(facts, known, NOW.timestamp())
        self.exposures |= changes.exposures
        self.answers |= {answer.event_id: answer for answer in changes.answers}
        self.states |= changes.states
        for (_, cohort), rows in changes.rows.items():
            self.sums.setdefault(cohort, Sums(DIMS)).add(sums_of.count(rows, EPOCH))

    def ripen(self, through: datetime) -> None:
        """As service.learning.ripening does: what was not redeemed of what was shown since the last time."""
        for key, one in self.exposures.items():
            if self.ripe_through < one.exposed_at <= through and one.answered_at[1] is None:
                state = self.states.get(key.user_id, State())
                own = personal.unpack(state.personal)
                own.shown(DRAWN[key[:2]].own[key.slot], one.exposed_at.timestamp())
                self.states[key.user_id] = state._replace(personal=own.pack())
        self.ripe_through = through

    def showings(self) -> dict[tuple[int, int], float]:
        """The unanswered showings of each person's offers, as they weigh now."""
        found = {}
        for user_id, state in self.states.items():
            packed = tastes.view(state.tastes)
            for one in packed.entries:
                seen = shown_at(int(one["shown"]), float(one["shown_s"]), NOW.timestamp())
                found[user_id, int(one["tag_id"])] = float(seen)
        return found

    def pushes(self) -> dict[int, float]:
        """The unanswered pushes of each person, as they weigh now."""
        return {user: tastes.unanswered(tastes.view(one.tastes), NOW.timestamp()) for user, one in self.states.items()}

    def own(self) -> dict[int, np.ndarray]:
        """The sums of each person's own part, as they weigh now."""
        now_s = NOW.timestamp()
        return {user: personal.unpack(one.personal).at(now_s) for user, one in self.states.items() if one.personal}


Slot = tuple[int, int, int]  # user, decision, slot
EXPOSING = (EventType.SHOWN, EventType.ACCEPTED)


def first_exposures(told: Sequence[Told]) -> dict[Slot, int]:
    """The minute each slot was first shown or accepted at."""
    first: dict[Slot, int] = {}
    for one in told:
        if one.kind in EXPOSING and one.decision is not None:
            slot = (one.user_id, one.decision, one.slot)
            first[slot] = min(first.get(slot, one.minutes), one.minutes)
    return first


def owner(answer: Told, first: dict[Slot, int]) -> Slot | None:
    """The slot an answer is about: the one it names, or that of its offer which was shown last before it."""
    if answer.decision is not None:
        return (answer.user_id, answer.decision, answer.slot)
    window = WINDOWS_S[HEAD_OF[answer.kind]] / 60
    before = [
        (minutes, decision_id(*slot[:2]), slot)
        for slot, minutes in first.items()
        if slot[0] == answer.user_id and slot[2] == answer.slot and 0 <= answer.minutes - minutes <= window
    ]
    return max(before)[-1] if before else None


def rewards(told: Sequence[Told]) -> dict[Slot, tuple[int, dict[int, int]]]:
    """For each slot the minute of its exposure, and the age in minutes at which each head's first answer within the window was told."""
    first = first_exposures(told)
    firsts: dict[Slot, dict[int, tuple[int, int]]] = {slot: {} for slot in first}
    for answer in [one for one in told if one.kind in HEAD_OF]:
        slot, head = owner(answer, first), HEAD_OF[answer.kind]
        if slot not in firsts:
            continue
        age = answer.minutes - first[slot]
        if -CLOCK_SKEW_S <= 60 * age <= WINDOWS_S[head]:
            firsts[slot][head] = min(firsts[slot].get(head, (age, answer.late)), (age, answer.late))
    return {slot: (minutes, {head: sum(age) for head, age in firsts[slot].items()}) for slot, minutes in first.items()}


def expected(told: Sequence[Told]) -> dict[int, Sums]:
    """Slow and obvious: each shown slot once, and for each head its first answer."""
    cohorts: dict[int, Tally] = {}
    for (user_id, decision, slot), (minutes, ages) in rewards(told).items():
        at_s = (START + timedelta(minutes=minutes)).timestamp()
        cohort = cohort_at(at_s, NOW.timestamp())
        counted, phi = cohorts.setdefault(cohort, Tally()), phi_of(user_id, decision)[slot]
        counted.add_exposure(phi, at_s)
        for head, age in ages.items():
            counted.add_reward(head, phi, at_s, max(60.0 * age, 0.0))
    return {cohort: counted.sums() for cohort, counted in cohorts.items()}


def expected_showings(told: Sequence[Told]) -> dict[tuple[int, int], float]:
    found: dict[tuple[int, int], float] = {}
    for (user_id, _, slot), (minutes, ages) in rewards(told).items():
        if not ages:
            weight = 0.5 ** ((NOW - START - timedelta(minutes=minutes)) / timedelta(days=15))
            found[user_id, OFFERS[slot]] = found.get((user_id, OFFERS[slot]), 0.0) + weight
    return found


def expected_pushes(told: Sequence[Told]) -> dict[int, float]:
    accepted = {(one.user_id, one.decision, one.slot) for one in told if one.kind == EventType.ACCEPTED}
    found: dict[int, float] = {}
    for slot, (minutes, ages) in rewards(told).items():
        if slot in accepted and not ages:
            weight = 0.5 ** ((NOW - START - timedelta(minutes=minutes)) / timedelta(days=15))
            found[slot[0]] = found.get(slot[0], 0.0) + weight
    return found


def expected_own(told: Sequence[Told], ripe_through: datetime) -> dict[int, np.ndarray]:
    """A showing that was redeemed, or is ripe."""
    found: dict[int, Personal] = {}
    for (user_id, decision, slot), (minutes, ages) in rewards(told).items():
        row, at = own_of(user_id, decision)[slot], START + timedelta(minutes=minutes)
        is_redeemed = HEAD_OF[EventType.REDEEMED] in ages
        own = found.setdefault(user_id, Personal())
        if is_redeemed or at <= ripe_through:
            own.shown(row, at.timestamp())
        if is_redeemed:
            own.redeemed(row, at.timestamp())
    return {user_id: own.at(NOW.timestamp()) for user_id, own in found.items()}


@st.composite
def worlds(draw: st.DrawFn) -> list[Told]:
    """Slots that were accepted, shown or both; answers that name their slot or only its offer, some before or without exposure."""
    told: list[Told] = []
    slots = st.tuples(st.integers(1, PEOPLE), st.integers(0, DECISIONS - 1), st.integers(0, 1))
    for user_id, decision, slot in draw(st.lists(slots, max_size=8, unique=True)):
        shown = draw(st.integers(0, 40 * 60))
        kinds = draw(st.sampled_from([(EventType.ACCEPTED,), EXPOSING, (EventType.SHOWN,) * 2, ()]))
        # As close as a push and its showing, or so far apart that what was within the window no longer is.
        told += [
            Told(user_id, decision, slot, kind, shown + draw(st.integers(0, 3) | st.integers(0, 600))) for kind in kinds
        ]
        for kind, longest in ((EventType.OPENED, 8 * 60), (EventType.REDEEMED, 80 * 60)):
            for after in draw(st.lists(st.integers(-8, longest), max_size=2)):
                named = decision if draw(st.booleans()) else None
                told.append(Told(user_id, named, slot, kind, shown + after, draw(st.sampled_from([0, 0, 90, 1500]))))
    return told


@settings(max_examples=200, deadline=None)
@given(worlds(), st.integers(0, 2**32 - 1))
def test_shuffled_parted_and_redelivered_logs_give_the_same(told: list[Told], seed: int) -> None:
    random = Random(seed)
    sent = told + random.sample(told, len(told) // 3)
    random.shuffle(sent)
    world = World()
    at = 0
    while at < len(sent):
        size = random.randint(1, 6)
        world.learn([fact(one) for one in sent[at : at + size]])
        at += size
        if random.random() < 0.5:
            world.ripen(max(world.ripe_through, START + timedelta(minutes=random.randint(0, 50 * 60))))
    wanted = expected(told)
    # What was taken back may leave a cohort with nothing in it.
    assert {cohort for cohort, sums in world.sums.items() if sums.totals[1]} == wanted.keys()
    for cohort, sums in world.sums.items():
        for name in Sums.__slots__:
            of_wanted = getattr(wanted.get(cohort, Sums(DIMS)), name)
            scale = 1e-6 * max(1.0, float(np.abs(sums.totals).max()), float(np.abs(of_wanted).max()))
            np.testing.assert_allclose(getattr(sums, name), of_wanted, rtol=1e-6, atol=scale, err_msg=name)
    found, seen = expected_showings(told), world.showings()
    for offer_of_user in found.keys() | seen.keys():
        assert seen.get(offer_of_user, 0.0) == pytest.approx(found.get(offer_of_user, 0.0), abs=len(sent) / 512)
    pushed, unanswered = expected_pushes(told), world.pushes()
    for user_id in pushed.keys() | unanswered.keys():
        assert unanswered.get(user_id, 0.0) == pytest.approx(pushed.get(user_id, 0.0), abs=1e-5 * (1 + len(sent)))
    own, own_found = expected_own(told, world.ripe_through), world.own()
    assert own_found.keys() <= own.keys()
    for user_id in own:
        sums_of_user = own_found.get(user_id, np.zeros(kernels.SIZE))
        # Kept as float32 between passes, and what is taken back must not cancel better than that.
        atol = 1e-6 * len(sent) * max(1.0, float(np.abs(own[user_id]).max()))
        np.testing.assert_allclose(sums_of_user, own[user_id], rtol=1e-5, atol=atol)
    at_once = World()
    at_once.learn([fact(one) for one in told])
    assert world.exposures == at_once.exposures
