"""The fold: the same entries in any order, in any passes and sent again give the same sums and exposures."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bandits.features import DIMS
from bandits.posterior import CLOSED, WINDOW_S, WINDOWS_S, Sums, cohort_of, is_closed
from schema.event import EventType
from schema.ids import partition_of, stable_entropy, uuid7
from schema.log import LogEntry
from service.learning.facts import Fact, Known
from service.learning.fold import fold
from service.store.catalogue import CatalogueCache
from service.store.decision_features import Drawn
from service.store.exposures import Exposure, ExposureKey
from service.store.user_state import State

START = datetime(2026, 3, 2, tzinfo=UTC)
NOW = START + timedelta(hours=90)
PEOPLE = 6
EMPTY = CatalogueCache().current

Told = tuple[int, int, int, EventType, int]  # user, decision, slot, type, minutes after the start


def decision_id(user_id: int, decision: int) -> UUID:
    return uuid7(START, stable_entropy(bytes([user_id, decision])))


def phi_of(user_id: int, decision: int) -> np.ndarray:
    return np.random.default_rng([user_id, decision]).uniform(0.0, 1.0, (2, DIMS)).astype(np.float32)


DRAWN = {
    (user_id, decision_id(user_id, decision)): Drawn([1, 2], phi_of(user_id, decision))
    for user_id in range(1, PEOPLE + 1)
    for decision in (0, 1)
}


def fact(told: Told) -> Fact:
    user_id, decision, slot, kind, minutes = told
    at = START + timedelta(minutes=minutes)
    event_id = uuid7(at, stable_entropy(repr(told).encode()))
    entry = LogEntry(user_id, event_id, kind, at, decision_id=decision_id(user_id, decision), slot=slot)
    return Fact(partition_of(user_id), user_id, entry)


class World:
    """What the database keeps between passes."""

    def __init__(self) -> None:
        self.exposures: dict[ExposureKey, Exposure] = {}
        self.states: dict[int, State] = {}
        self.sums: dict[int, Sums] = {}

    def learn(self, facts: Sequence[Fact]) -> None:
        changes = fold(facts, Known(self.states, self.exposures, DRAWN, EMPTY), NOW.timestamp())
        self.exposures |= changes.exposures
        self.states |= changes.states
        for (_, cohort), sums in changes.sums.items():
            self.sums.setdefault(cohort, Sums(DIMS)).add(sums)


def expected(told: Sequence[Told]) -> dict[int, Sums]:
    """Slow and obvious: each shown slot once, and for each head its answers within the window, of which the first counts."""
    cohorts: dict[int, Sums] = {}
    for user_id, decision, slot, minutes in [(*one[:3], one[4]) for one in told if one[3] == EventType.ACCEPTED]:
        at_s = (START + timedelta(minutes=minutes)).timestamp()
        cohort = CLOSED if is_closed(cohort_of(at_s), NOW.timestamp()) else cohort_of(at_s)
        sums, phi = cohorts.setdefault(cohort, Sums(DIMS)), phi_of(user_id, decision)[slot]
        sums.add_exposure(phi, at_s)
        for head, (kind, window_s) in enumerate(((EventType.OPENED, WINDOWS_S[0]), (EventType.REDEEMED, WINDOW_S))):
            ages_s = [60.0 * (one[4] - minutes) for one in told if one[:4] == (user_id, decision, slot, kind)]
            within = [age_s for age_s in ages_s if 0 <= age_s <= window_s]
            if within:
                sums.add_reward(head, phi, at_s, min(within), 1.0)
    return cohorts


@st.composite
def worlds(draw: st.DrawFn) -> list[Told]:
    told: list[Told] = []
    slots = st.tuples(st.integers(1, PEOPLE), st.integers(0, 1), st.integers(0, 1))
    for slot in draw(st.lists(slots, max_size=12, unique=True)):
        shown = draw(st.integers(0, 40 * 60))
        told.append((*slot, EventType.ACCEPTED, shown))
        for kind, longest in ((EventType.OPENED, 8 * 60), (EventType.REDEEMED, 80 * 60)):
            if draw(st.booleans()):
                told.append((*slot, kind, shown + draw(st.integers(0, longest))))
    return told


@settings(max_examples=50, deadline=None)
@given(worlds(), st.integers(0, 2**32 - 1))
def test_shuffled_parted_and_redelivered_logs_give_the_same_sums(told: list[Told], seed: int) -> None:
    random = Random(seed)
    sent = told + random.sample(told, len(told) // 3)
    random.shuffle(sent)
    world = World()
    at = 0
    while at < len(sent):
        size = random.randint(1, 6)
        world.learn([fact(one) for one in sent[at : at + size]])
        at += size
    wanted = expected(told)
    assert world.sums.keys() == wanted.keys()
    for cohort, sums in wanted.items():
        for name in Sums.__slots__:
            np.testing.assert_allclose(getattr(world.sums[cohort], name), getattr(sums, name), rtol=1e-6, err_msg=name)
    at_once = World()
    at_once.learn([fact(one) for one in told])
    assert world.exposures == at_once.exposures
