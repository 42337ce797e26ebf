"""Decisions: asked for, explained, replayed."""

from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from itertools import repeat
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, SkipValidation

from push.drawing.wording import creative_in
from schema.decision import (
    LIFE_OF_A_DECISION_S,
    Action,
    DecidedOffer,
    DecisionAnswer,
    DecisionRequest,
    ExplanationAnswer,
    ReplayAnswer,
    Reservation,
    ShownDecision,
)
from service.decision import explanation, replay
from service.decision.ask import Decided
from service.decision.batcher import DecisionBatcher, decided_of
from service.errors import ApiError
from service.guards import Principal, speaker_of
from service.routes.acting import attempt, has_key, response_of
from service.routes.call import Call, Pending, Reply, call_of
from service.routes.caller import named_in_query, principal_of
from service.store import decision_people, decisions, people
from service.store.catalogue import Catalogue, CatalogueCache
from service.store.idempotency import Answer
from service.store.logged_decision import LoggedDecision
from service.store.people import Speaker

PATH: Final = "/v1/decisions"
OPT: Final = {"scope": "sdk", "sk_scope": "users"}

_ENCODER: Final = msgspec.json.Encoder()
_UNTOLD: Final = repeat(None)
_LIFE: Final = timedelta(seconds=LIFE_OF_A_DECISION_S)


async def decide(decisions: DecisionBatcher, call: Call, asked: DecisionRequest) -> Reply:
    """POST /v1/decisions, for the typed controller and for the fast lane alike. Raises ApiError."""
    if not has_key(call):
        begun = begin(decisions, call, asked)
        return begun.reply_of(await begun.coming)
    speaker = speaker_of(call.principal, asked.user_id, asked.anonymous_id)
    kept = await decisions.submit_once(attempt(call), speaker, asked, partial(_encoded, call.principal))
    return Reply(kept.answer, kept.is_replay)


def begin(decisions: DecisionBatcher, call: Call, asked: DecisionRequest) -> Pending[Decided | ApiError | None]:
    """As `decide`, without an Idempotency-Key, for one who does not wait here. Raises ApiError."""
    speaker = speaker_of(call.principal, asked.user_id, asked.anonymous_id)

    def reply_of(came: Decided | ApiError | None) -> Reply:
        return Reply(_encoded(call.principal, decided_of(came)))

    return Pending(decisions.put(speaker, asked), reply_of)


def _encoded(principal: Principal, decided: Decided) -> Answer:
    return Answer(200, _ENCODER.encode(answer_of(decided, with_propensities=principal.kind == "sk")))


class DecisionController(Controller):
    """Which deal for this person at this moment, and why."""

    path = PATH
    tags = ("decisions",)
    opt = OPT

    @post(status_code=200)
    async def decide(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[DecisionRequest],
        decisions: NamedDependency[SkipValidation[DecisionBatcher]],
    ) -> Response[DecisionAnswer]:
        """Decides and logs; the answer leaves when the decision is durable.

        The same request again with the same Idempotency-Key gets the same answer for a day; its offers expire all the same.
        """
        reply = await decide(decisions, await call_of(request), data)
        return response_of(reply.answer, is_replay=reply.is_replay)

    @get("/{decision_id:uuid}", status_code=200)
    async def show(
        self,
        request: Request[Any, Any, Any],
        decision_id: FromPath[UUID],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        catalogue: NamedDependency[SkipValidation[CatalogueCache]],
        user_id: FromQuery[str | None] = None,
        anonymous_id: FromQuery[str | None] = None,
    ) -> ShownDecision:
        """What was decided for this person, as a push names it that says nothing itself: its offers with their present creatives.

        An offer that is gone from the catalogue is left out.
        """
        speaker = named_in_query(request, user_id, anonymous_id)
        async with pool.acquire() as connection:
            person = await people.find_for(connection, speaker)
            found = await decisions.look(connection, person.user_id, decision_id) if person else None
            if person is None or found is None:
                raise _missing()
            known = (await decision_people.by_id(connection, [person.user_id])).people
            return _shown(decision_id, found, await catalogue.refresh(connection), known[person.user_id].locale)

    @get("/{decision_id:uuid}/explanation", status_code=200)
    async def explain(
        self,
        request: Request[Any, Any, Any],
        decision_id: FromPath[UUID],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        catalogue: NamedDependency[SkipValidation[CatalogueCache]],
        user_id: FromQuery[str | None] = None,
        anonymous_id: FromQuery[str | None] = None,
    ) -> ExplanationAnswer:
        """Why this deal, in words; with a secret key in numbers too."""
        speaker = named_in_query(request, user_id, anonymous_id)
        async with pool.acquire() as connection:
            logged = await _logged(connection, speaker, decision_id)
            again = await replay.redraw(connection, catalogue, logged)
        return explanation.explain(logged, again, with_numbers=principal_of(request).kind == "sk")

    @post("/{decision_id:uuid}/replay", status_code=200, opt={"scope": "reports"})
    async def replay(
        self,
        request: Request[Any, Any, Any],
        decision_id: FromPath[UUID],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        catalogue: NamedDependency[SkipValidation[CatalogueCache]],
        user_id: FromQuery[str | None] = None,
        anonymous_id: FromQuery[str | None] = None,
    ) -> ReplayAnswer:
        """Draws the decision again from what was logged and tells whether it comes out the same."""
        speaker = named_in_query(request, user_id, anonymous_id)
        async with pool.acquire() as connection:
            logged = await _logged(connection, speaker, decision_id)
            return replay.compare(logged, await replay.redraw(connection, catalogue, logged))


async def _logged(connection: Any, speaker: Speaker, decision_id: UUID) -> LoggedDecision:
    person = await people.find_for(connection, speaker)
    logged = await decisions.read(connection, person.user_id, decision_id) if person else None
    if logged is None:
        raise _missing()
    return logged


def _missing() -> ApiError:
    return ApiError(404, "not_found", "There is no such decision of this person.")


def _shown(decision_id: UUID, found: decisions.Outcome, catalogue: Catalogue, locale: str | None) -> ShownDecision:
    is_shown = found.action == Action.OFFER
    places = [catalogue.index_by_id.get(offer_id) for offer_id in found.offer_ids] if is_shown else []
    offers = [
        DecidedOffer(offer_id=offer.offer_id, slot=slot, creative=creative_in(offer, locale))
        for slot, index in enumerate(places)
        if index is not None
        for offer in (catalogue.offers[index].offer,)
    ]
    return ShownDecision(decision_id=decision_id, action="offer" if is_shown else "no_send", offers=offers)


def answer_of(decided: Decided, *, with_propensities: bool) -> DecisionAnswer:
    """The answer to the app; propensities are told only to secret keys."""
    known, locale = decided.catalogue.offers, decided.person.locale
    propensities: Iterable[float | None] = decided.draw.propensities if with_propensities and decided.draw else _UNTOLD
    told = zip(decided.offer_indices, propensities, decided.reserved, strict=False)  # drawn are also those kept back
    offers = [
        DecidedOffer(
            known[index].offer.offer_id,
            slot,
            creative_in(known[index].offer, locale),
            propensity,
            None if reserved is None else Reservation(reservation_id=reserved[0], expires_at=reserved[1]),
        )
        for slot, (index, propensity, reserved) in enumerate(told)
    ]
    return DecisionAnswer(
        decided.decision_id,
        "offer" if offers else "no_send",
        offers,
        list(decided.reason_codes),
        decided.policy,
        decided.snapshot_version,
        decided.in_holdout,
        decided.decided_at + _LIFE,
        decided.person.feedback_applied_through,
        decided.is_degraded,
    )
