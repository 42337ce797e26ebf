"""Policies: made, judged on the decision log, promoted, rolled back."""

import re
from typing import Any, Final

import asyncpg
import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, SkipValidation

from schema.policy import Policies, Policy, PolicySettings, Promotion, ReasonGiven
from schema.policy_evaluation import EvaluationRequest, PolicyEvaluation, PromotionRequest
from service.clock import Clock
from service.errors import ApiError
from service.policies import promotion
from service.policies.evaluator import Evaluator
from service.routes.acting import act_once, attempt_of, response_of
from service.routes.caller import recorded_as
from service.store import idempotency
from service.store.idempotency import Answer

_ENCODER: Final = msgspec.json.Encoder()
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ADMIN: Final = {"scope": "admin"}


class PolicyController(Controller):
    """How offers are chosen: settings, evidence and what is in force."""

    path = "/v1/policies"
    tags = ("policies",)
    opt = {"scope": "reports"}

    @get(status_code=200)
    async def show_all(self, pool: NamedDependency[SkipValidation[asyncpg.Pool]]) -> Policies:
        """The newest version of every policy, which one is in force, and how that came."""
        async with pool.acquire() as connection:
            return await promotion.overview(connection)

    @get("/{name:str}", status_code=200)
    async def show(self, name: FromPath[str], pool: NamedDependency[SkipValidation[asyncpg.Pool]]) -> Policy:
        """The newest version of one policy."""
        async with pool.acquire() as connection:
            return await promotion.find(connection, _known(name))

    @post(status_code=201, opt=_ADMIN)
    async def create(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[PolicySettings],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
    ) -> Response[Policy]:
        """Makes a policy, or the next version of one; nothing decides by it before it is promoted."""
        now, by = await clock.now(), recorded_as(request)

        async def effect(connection: Any) -> Policy:
            return await promotion.create(connection, data, now, by)

        return await act_once(request, pool, now, effect, status=201)

    @post("/{name:str}/evaluate", status_code=200)
    async def evaluate(
        self,
        request: Request[Any, Any, Any],
        name: FromPath[str],
        data: JSONBody[EvaluationRequest],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
        evaluator: NamedDependency[SkipValidation[Evaluator]],
    ) -> Response[PolicyEvaluation]:
        """What the policy would have earned on the decision log, against the one in force, and whether to believe it."""
        attempt = await attempt_of(request)
        async with pool.acquire() as connection:
            kept = None if attempt.idempotency_key is None else await idempotency.find(connection, attempt)
        if kept is not None:
            return response_of(kept, is_replay=True)
        now = await clock.now()
        ours = Answer(200, _ENCODER.encode((await evaluator.judge(_known(name), data, now)).evaluation))
        if attempt.idempotency_key is not None:
            async with pool.acquire() as connection:
                kept = await idempotency.keep_first(connection, attempt, ours, now)
        return response_of(kept or ours, is_replay=kept is not None)

    @post("/{name:str}/promote", status_code=200, opt=_ADMIN)
    async def promote(
        self,
        request: Request[Any, Any, Any],
        name: FromPath[str],
        data: JSONBody[PromotionRequest],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
        evaluator: NamedDependency[SkipValidation[Evaluator]],
    ) -> Response[Promotion]:
        """Evaluates, and brings the policy into force if it is better; 409 in words if that is not shown, unless it is forced."""
        promotion.check(data)
        now, by = await clock.now(), recorded_as(request)
        attempt = await attempt_of(request)
        if attempt.idempotency_key is not None:
            async with pool.acquire() as connection:
                kept = await idempotency.find(connection, attempt)
            if kept is not None:
                return response_of(kept, is_replay=True)
        judged = await evaluator.judge(_known(name), data.evaluation, now)

        async def effect(connection: Any) -> Promotion:
            return await promotion.promote(connection, judged, data, now, by)

        return await act_once(request, pool, now, effect, status=200)

    @post("/rollback", status_code=200, opt=_ADMIN)
    async def roll_back(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[ReasonGiven],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
    ) -> Response[Promotion]:
        """Brings back the policy that was in force before, down to the built-in one."""
        now, by = await clock.now(), recorded_as(request)

        async def effect(connection: Any) -> Promotion:
            return await promotion.roll_back(connection, data.reason, now, by)

        return await act_once(request, pool, now, effect, status=200)


def _known(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ApiError(404, "not_found", "There is no such policy.")
    return name
