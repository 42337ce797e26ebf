"""Reads what has to be known to count the facts of one pass."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any
from uuid import UUID

from bandits.posterior import WINDOW_S
from service.learning.facts import EXPOSING, HEAD_OF, Fact, Known
from service.store import decision_features, exposures, user_state
from service.store.catalogue import Catalogue
from service.store.exposures import Exposure, ExposureKey


async def gather(connection: Any, facts: Collection[Fact], catalogue: Catalogue) -> Known:
    """The states of the people concerned, their exposures, and the decisions that showed them."""
    about_offers = [fact for fact in facts if fact.entry.type in EXPOSING or fact.entry.type in HEAD_OF]
    states = await user_state.load(connection, {fact.user_id for fact in facts})
    decisions = {(fact.user_id, fact.entry.decision_id) for fact in about_offers if fact.entry.decision_id is not None}
    shown = await exposures.of_decisions(connection, decisions)
    shown |= await _by_offer(connection, [fact for fact in about_offers if fact.entry.decision_id is None])
    wanted: set[tuple[int, UUID]] = decisions | {(key.user_id, key.decision_id) for key in shown}
    return Known(states, shown, await decision_features.load(connection, wanted), catalogue)


async def _by_offer(connection: Any, facts: Collection[Fact]) -> dict[ExposureKey, Exposure]:
    if not facts:
        return {}
    instants = [fact.entry.occurred_at for fact in facts]
    since = min(instants) - timedelta(seconds=WINDOW_S)
    return await exposures.of_offers(
        connection, {(fact.user_id, fact.entry.offer_id) for fact in facts}, since, max(instants)
    )
