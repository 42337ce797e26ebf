"""A small world for the tests of learning: people, offers with tags, decisions that showed them, and entries of the log."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np

from bandits.features import DIMS, FEATURE_SET
from schema.event import EventType
from schema.ids import stable_entropy, uuid7
from schema.log import LogEntry
from schema.offer import Creative, Offer
from service.learning.learner import Learner
from service.store import event_log, offers
from service.store.catalogue import CatalogueCache

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
HOUR = timedelta(hours=1)

_USERS = """
    insert into users (user_id, external_id, created_at) overriding system value
    select n, 'user ' || n, $2 from generate_series(1, $1) n
"""
_DECISION = """
    insert into decisions (user_id, decision_id, placement, channel, action, in_holdout, in_control, is_degraded, policy,
        snapshot_version, catalogue_version, user_version, request, tastes, eligible, offer_ids, propensities,
        send_probability, phi, predictions, pmf_sha256, reason_codes)
    values ($1, $2, 'push', 1, $3, false, false, false, 'thompson', $4, 1, 0, '{}', '', '', $5, '{}', 1, $6, '', '', '{}')
"""
_FEATURES = "update decisions set feature_set = $3 where user_id = $1 and decision_id = $2"


async def build(connection: Any, people: int = 20) -> None:
    """People 1..people, and offers with our ids 1..4: "milk" and "bread" tags, one sensitive, one for adults."""
    await connection.execute(_USERS, people, START)
    deals = [
        Offer(offer_id="1-milk", creative=Creative(title="Milk"), tags=["milk"]),
        Offer(offer_id="2-bread", creative=Creative(title="Bread"), tags=["bread", "bakery"]),
        Offer(offer_id="3-remedy", creative=Creative(title="Remedy"), tags=["remedy"], is_sensitive=True),
        Offer(offer_id="4-beer", creative=Creative(title="Beer"), tags=["beer"], min_age=21),
    ]
    for deal in deals:
        await offers.create(connection, deal, START)


def decision_id(user_id: int, at: datetime) -> UUID:
    return uuid7(at, stable_entropy(user_id.to_bytes(8, "little")))


def phi_of(user_id: int, slots: int) -> np.ndarray:
    return np.random.default_rng(user_id).uniform(0.0, 1.0, (slots, DIMS)).astype(np.float32)


async def decide(
    connection: Any,
    user_id: int,
    at: datetime,
    offer_ids: Sequence[int] = (1,),
    *,
    action: int = 1,
    snapshot_version: int = 1,
    feature_set: int | None = FEATURE_SET,
) -> UUID:
    """Logs a decision of that instant, its features drawn from the user's number; None: in a schema that does not know of which set they are."""
    decided = decision_id(user_id, at)
    phi = phi_of(user_id, len(offer_ids)).tobytes()
    await connection.execute(_DECISION, user_id, decided, action, snapshot_version, list(offer_ids), phi)
    if feature_set is not None:
        await connection.execute(_FEATURES, user_id, decided, feature_set)
    return decided


def entry(user_id: int, kind: EventType, at: datetime, **more: Any) -> LogEntry:
    key = stable_entropy(user_id.to_bytes(8, "little"), bytes([kind]), repr(sorted(more.items())).encode())
    return LogEntry(user_id=user_id, event_id=uuid7(at, key), type=kind, occurred_at=at, **more)


async def log(connection: Any, *entries: LogEntry, at: datetime = START) -> None:
    """One append, hence one micro-batch of each partition."""
    async with connection.transaction():
        await event_log.append(connection, entries, at)


def learner(pool: Any) -> Learner:
    return Learner(pool, CatalogueCache())
