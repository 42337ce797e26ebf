"""Logged push decisions and what people bought after them, written as the product writes them, for the tests of outcome windows."""

from datetime import datetime, timedelta
from typing import Any

import asyncpg
import msgspec
import numpy as np

from bandits.features import DIMS, FEATURE_SET
from schema.ids import stable_entropy, uuid7
from tests.integration.push_world import NOW

_DECISION = """
    insert into decisions (user_id, decision_id, placement, channel, action, in_holdout, in_control, is_degraded, policy,
        snapshot_version, catalogue_version, user_version, request, tastes, eligible, offer_ids, propensities,
        send_probability, phi, predictions, pmf_sha256, reason_codes, feature_set)
    values ($1, $2, 'push', $3, $4, $5, false, false, 'p', 1, $6, 0, $7, '', '', $8, '{1}', 1, $9, '', '', '{}', $10)
"""
_EXPOSURE = """
    insert into exposures (user_id, decision_id, slot, offer_id, exposed_at, redeemed_at, is_push) values ($1, $2, 0, $3, $4, $5, $6)
"""
EVENT = """
    insert into events (user_id, event_id, type, occurred_at, received_at, slot, properties) values ($1, $2, $3, $4, $5, 0, $6)
"""


async def decision(
    pool: asyncpg.Pool, user_id: int, at: datetime = NOW, *, action: int = 0, channel: int = 1, **more: Any
) -> Any:
    """A push decision about offer 1, its phi full of the user's number."""
    given = {"holdout": False, "catalogue": 1, "offers": [1], "personal": True, "phi": float(user_id)} | more
    feature_set = more.get("feature_set", FEATURE_SET)
    decision_id = uuid7(at, stable_entropy(bytes([user_id, action, channel]), at.isoformat().encode()))
    request = msgspec.json.encode({"decided_at": at, "may_personalise": given["personal"]})
    phi = np.full(DIMS, given["phi"], "<f4").tobytes()
    row = (
        decision_id,
        channel,
        action,
        given["holdout"],
        given["catalogue"],
        request,
        given["offers"],
        phi,
        feature_set,
    )
    await pool.execute(_DECISION, user_id, *row)
    return decision_id


async def sent(pool: asyncpg.Pool, user_id: int, at: datetime = NOW, **more: Any) -> None:
    """A push that FCM accepted a minute after it was drawn."""
    given = {"redeemed_at": None, "is_push": True, "phi": float(user_id)} | more
    decision_id = await decision(pool, user_id, at, action=1, phi=given["phi"])
    accepted = at + timedelta(minutes=1)
    await pool.execute(_EXPOSURE, user_id, decision_id, 1, accepted, given["redeemed_at"], given["is_push"])


async def bought(pool: asyncpg.Pool, user_id: int, after: timedelta, *tags: Any, told: timedelta | None = None) -> None:
    """A purchase so long after NOW, told at once or so long after NOW."""
    at, told_at = NOW + after, NOW + (told or after)
    event_id = uuid7(told_at, stable_entropy(str((user_id, after, tags)).encode()))
    await pool.execute(EVENT, user_id, event_id, 1, at, told_at, {"tags": list(tags) or ["coffee"]})
