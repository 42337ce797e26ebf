"""POST /v1/decisions/{id}/feedback: what the person did with what was decided; counts in the very next decision.

What it forbids is in the person's row when the answer leaves. What is learned from it is, too, when the learner keeps up: it is waited for,
but never for long.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
from litestar import Controller, Request, Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, SkipValidation

from push.drawing import feedback_token
from schema.event import CODES, EventType, Feedback, FeedbackAnswer
from service.clock import Clock
from service.errors import ApiError, invalid_field
from service.ingest.feedback_buffer import FeedbackBuffer
from service.ingest.triggers import Triggers
from service.learning.visible import Counted
from service.routes.acting import act_once, has_key
from service.routes.call import call_of
from service.routes.caller import principal_of, speaker_of
from service.settings import Settings
from service.store import feedback, journal
from service.store.feedback import Answered, Applied, NoSuchDecision, NoSuchSlot
from service.store.people import Speaker
from service.store.signing_keys import SigningKey


class FeedbackController(Controller):
    """Takes a person's answer to a decision."""

    path = "/v1/decisions/{decision_id:uuid}/feedback"
    tags = ("decisions",)
    opt = {"scope": "sdk", "sk_scope": "ingest"}

    @post(status_code=200)
    async def answer(
        self,
        request: Request[Any, Any, Any],
        decision_id: FromPath[UUID],
        data: JSONBody[Feedback],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
        settings: NamedDependency[SkipValidation[Settings]],
        triggers: NamedDependency[SkipValidation[Triggers]],
        feedback_key: NamedDependency[SkipValidation[SigningKey]],
        answers: NamedDependency[SkipValidation[FeedbackBuffer]],
        counted: NamedDependency[SkipValidation[Counted]],
    ) -> Response[FeedbackAnswer]:
        """Applies an answer before it returns: a thumbs_down is for ever, a not_now holds 14 days, opted_out ends push.

        The same answer again changes nothing. `redeemed` is told by the till, with a secret key. With the `feedback_token` of a push a
        publishable key alone may answer, for that decision.
        """
        kind = CODES[data.type]
        if kind is EventType.REDEEMED and principal_of(request).kind != "sk":
            raise ApiError(403, "forbidden", "A redemption is told by the till, with a secret key.")
        now = await clock.now()
        if data.feedback_token is None:
            who: Speaker | int = speaker_of(request, data.user_id, data.anonymous_id)
        else:
            async with pool.acquire() as connection:
                who = _of_token(await feedback_key.of(connection), decision_id, data, now)
        told = Answered(who, decision_id, data.slot, kind, data.occurred_at, now)
        log_places: list[tuple[int, int]] = []

        async def effect(connection: Any) -> FeedbackAnswer:
            return heard(await _applied(settings, partial(feedback.apply, connection, told, triggers.react)))

        def heard(applied: Applied) -> FeedbackAnswer:
            if applied.log_place is not None:
                log_places.append(applied.log_place)
            return FeedbackAnswer(applied=True, feedback_applied_through=applied.applied_through)

        if has_key(await call_of(request)):
            answer = await act_once(request, pool, now, effect, status=200)
        else:
            answer = Response(heard(await _applied(settings, partial(answers.submit, told))), status_code=200)
        if not settings.is_virtual_clock:  # which learns when its hand moves
            for partition, seq in log_places:
                await counted.until(partition, seq)
        return answer


async def _applied(settings: Settings, attempt: Callable[[], Awaitable[Applied]]) -> Applied:
    """What comes of an attempt to apply an answer. Raises ApiError where there is nothing to answer."""
    try:
        try:
            return await attempt()
        except NoSuchDecision:
            await _while_importing(settings)
            # It may have been imported between our look at the database and that at the journals.
            return await attempt()
    except NoSuchDecision:
        raise ApiError(404, "not_found", "This person has no such decision.") from None
    except NoSuchSlot:
        raise invalid_field("/slot", "The decision offered nothing in this slot.") from None


async def _while_importing(settings: Settings) -> None:
    """A decision that is not in the database may be in a journal that is about to be imported. Raises ApiError 503 while there is one."""
    if await asyncio.to_thread(journal.files, settings.data_dir):
        raise ApiError(503, "unavailable", "Decisions are being imported at the moment; try again.", retry_after_s=1)


def _of_token(key: bytes, decision_id: UUID, data: Feedback, now: datetime) -> int:
    """Our id of the person it speaks for. Raises ApiError 403 when it is not good."""
    if data.user_id is not None or data.anonymous_id is not None:
        raise invalid_field("/feedback_token", "The token says who answers: leave out user_id and anonymous_id.")
    user_id = feedback_token.read(key, decision_id, data.feedback_token or "", now)
    if user_id is None:
        detail = "This feedback_token is not of this decision, or its time is over."
        raise ApiError(403, "invalid_feedback_token", detail)
    return user_id
