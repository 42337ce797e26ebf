"""POST /v1/decisions/{id}/feedback: what the person did with what was decided; counts in the very next decision.

What it forbids is in the person's row when the answer leaves. What is learned from it is, too, when the learner keeps up: it is waited for,
but never for long.
"""

from typing import Any
from uuid import UUID

import asyncpg
from litestar import Controller, Request, Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, SkipValidation

from schema.event import CODES, EventType, Feedback, FeedbackAnswer
from service.clock import Clock
from service.errors import ApiError, invalid_field
from service.ingest.triggers import Triggers
from service.learning.visible import until_counted
from service.routes.acting import act_once
from service.routes.caller import principal_of, speaker_of
from service.settings import Settings
from service.store import feedback
from service.store.feedback import Answered, NoSuchDecision, NoSuchSlot


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
    ) -> Response[FeedbackAnswer]:
        """Applies an answer before it returns: a thumbs_down is for ever, a not_now holds 14 days, opted_out ends push.

        The same answer again changes nothing. `redeemed` is told by the till, with a secret key.
        """
        kind = CODES[data.type]
        if kind is EventType.REDEEMED and principal_of(request).kind != "sk":
            raise ApiError(403, "forbidden", "A redemption is told by the till, with a secret key.")
        speaker = speaker_of(request, data.user_id, data.anonymous_id)
        now = await clock.now()
        answered = Answered(decision_id, data.slot, kind, data.occurred_at, now)
        told: list[tuple[int, int]] = []

        async def effect(connection: Any) -> FeedbackAnswer:
            try:
                applied = await feedback.apply(connection, speaker, answered, triggers.react)
            except NoSuchDecision:
                raise ApiError(404, "not_found", "This person has no such decision.") from None
            except NoSuchSlot:
                raise invalid_field("/slot", "The decision offered nothing in this slot.") from None
            if applied.log_place is not None:
                told.append(applied.log_place)
            return FeedbackAnswer(applied=True, feedback_applied_through=applied.applied_through)

        answer = await act_once(request, pool, now, effect, status=200)
        if not settings.is_virtual_clock:  # which learns when its hand moves
            for partition, seq in told:
                await until_counted(pool, partition, seq)
        return answer
