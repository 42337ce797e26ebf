"""Reads what has to be known to count the facts of one pass."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from bandits.delay import WINDOW_S
from bandits.words import SAID
from service.learning.facts import ABOUT_OFFERS, Fact, Known
from service.store import answers, decision_features, exposures, user_state
from service.store.answers import Answer
from service.store.catalogue import Catalogue
from service.store.decision_features import Drawn
from service.store.exposures import Exposure, ExposureKey

_Decision = tuple[int, UUID]


async def gather(connection: Any, facts: Collection[Fact], catalogue: Catalogue, ripe_through: datetime) -> Known:
    """The states of the people concerned, their answers and exposures, and the decisions that showed them."""
    about_offers = [fact for fact in facts if fact.entry.type in ABOUT_OFFERS]
    states = await user_state.load(connection, {fact.user_id for fact in facts})
    decisions = _decisions(about_offers)
    shown = await exposures.of_decisions(connection, decisions)
    drawn = await decision_features.load(
        connection, decisions | _decisions(fact for fact in facts if fact.entry.type in SAID)
    )
    kept = await answers.of_users(connection, {fact.user_id for fact in about_offers})
    others = await _of_offers(connection, about_offers, drawn, kept)
    shown |= others
    drawn |= await decision_features.load(connection, {key[:2] for key in others} - drawn.keys())
    return Known(states, shown, kept, drawn, catalogue, ripe_through)


def _decisions(facts: Iterable[Fact]) -> set[_Decision]:
    return {(fact.user_id, fact.entry.decision_id) for fact in facts if fact.entry.decision_id is not None}


async def _of_offers(
    connection: Any, facts: Collection[Fact], drawn: dict[_Decision, Drawn], kept: Collection[Answer]
) -> dict[ExposureKey, Exposure]:
    """The exposures that answers which name none may belong to, as far as the facts concern them."""
    told = [fact for fact in facts if fact.entry.decision_id is None]
    concerned = {(fact.user_id, fact.entry.offer_id) for fact in told}
    for fact in facts:
        decision_id = fact.entry.decision_id
        if decision_id is not None and (decision := drawn.get((fact.user_id, decision_id))) is not None:
            concerned.update((fact.user_id, offer_id) for offer_id in decision.offer_ids)
    unnamed = [(fact.user_id, fact.entry.offer_id, fact.entry.occurred_at) for fact in told]
    unnamed += [(one.user_id, one.offer_id, one.answered_at) for one in kept if one.decision_id is None]
    sought = [one for one in unnamed if one[:2] in concerned]
    if not sought:
        return {}
    instants = [at for _, _, at in sought]
    since = min(instants) - timedelta(seconds=WINDOW_S)
    return await exposures.of_offers(connection, {one[:2] for one in sought}, since, max(instants))
