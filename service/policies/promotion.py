"""Which policy decides: made, promoted when the log says that it earns more, rolled back; every change is recorded."""

from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from schema.policy import BUILT_IN, Policies, Policy, PolicySettings, Promotion
from schema.policy_evaluation import EvaluationRequest, PolicyEvaluation, PromotionRequest
from schema.problem import FieldError
from service.decision import policy
from service.errors import ApiError, invalid_field
from service.policies import evaluation
from service.store import policies
from service.store.catalogue import CatalogueCache
from service.store.policies import Given, InForce


class Judged(NamedTuple):
    """A policy, the one in force when it was judged, and what came out."""

    candidate: Policy
    over: InForce
    evaluation: PolicyEvaluation


async def overview(connection: Any) -> Policies:
    """Every policy and the newest promotions."""
    over = await policies.in_force(connection, policy.BUILT_IN)
    found = [_built_in(), *await policies.newest_of_all(connection)]
    return Policies(
        in_force=over.label,
        data=[_marked(one, over) for one in found],
        promotions=await policies.promotions(connection),
    )


async def find(connection: Any, name: str) -> Policy:
    """The newest version of a policy. Raises ApiError 404 when there is none."""
    found = _built_in() if name == BUILT_IN else await policies.newest(connection, name)
    if found is None:
        raise ApiError(404, "not_found", "There is no such policy.")
    return _marked(found, await policies.in_force(connection, policy.BUILT_IN))


async def create(connection: Any, settings: PolicySettings, now: datetime, by: str) -> Policy:
    """Makes a policy or its next version. Raises ApiError 409 for the name of the built-in one, 400 for settings that do not fit."""
    if settings.name == BUILT_IN:
        detail = "The built-in policy has this name; take another."
        raise ApiError(409, "conflict", detail, [FieldError(pointer="/name", code="conflict", detail=detail)])
    if settings.kind == "epsilon_greedy" and (settings.exploration or 0.0) > 1.0:
        raise invalid_field("/exploration", "Of epsilon_greedy it is a share, at most 1.")
    try:
        return await policies.create(connection, settings, now, by)
    except policies.OvertakenError as error:
        raise ApiError(409, "conflict", str(error)) from None


async def judge(
    connection: Any, catalogues: CatalogueCache, name: str, ask: EvaluationRequest, now: datetime
) -> Judged:
    """Judges a policy against the one in force. Raises ApiError 404 when there is none, 400 for an unknown campaign."""
    candidate = await find(connection, name)
    over = await policies.in_force(connection, policy.BUILT_IN)
    challenger = InForce(0, 0, candidate.settings.name, candidate.version, candidate.settings)
    told = await evaluation.evaluate(connection, catalogues, ask, (challenger, over), now)
    return Judged(candidate, over, told)


CONFIDENCE_MIN: Final = 0.95


def check(request: PromotionRequest) -> None:
    """Whether this may be asked for at all.

    Raises:
        ApiError: 400 for a promotion that is forced without a reason, and for one that is not but rests on a part of the log or on less
            confidence than 95 %: a policy decides for every channel and campaign.
    """
    if request.is_forced:
        if not request.reason.strip():
            raise invalid_field("/reason", "A promotion that is forced needs a reason, which is recorded.")
        return
    if request.evaluation.confidence < CONFIDENCE_MIN:
        raise invalid_field("/evaluation/confidence", "Less than 0.95 is enough to look, not to promote without force.")
    for name in ("channel", "campaign_id"):
        if getattr(request.evaluation, name) is not None:
            detail = "A policy decides everywhere: it is promoted by the whole log, or by force."
            raise invalid_field(f"/evaluation/{name}", detail)


async def promote(connection: Any, judged: Judged, request: PromotionRequest, now: datetime, by: str) -> Promotion:
    """Brings the judged policy into force.

    Raises:
        ApiError: 409 promotion_refused, in words, unless it is better or forced; 409 conflict when it is in force already, or
            another one has come into force since it was judged.
    """
    candidate, over, told = judged
    if (candidate.settings.name, candidate.version) == (over.name, over.version):
        raise ApiError(409, "conflict", f"{over.label} is in force already.")
    if not (told.is_better or request.is_forced):
        errors = [FieldError(pointer="", code="promotion_refused", detail=reason) for reason in told.reasons]
        raise ApiError(409, "promotion_refused", told.conclusion, errors)
    # What is promoted although it is better all the same is not recorded as forced.
    is_forced = request.is_forced and not told.is_better
    reason = request.reason.strip() or told.conclusion
    given = Given(now, by, reason, is_forced, msgspec.to_builtins(told))
    try:
        return await policies.promote(connection, candidate, over, given)
    except policies.OvertakenError as error:
        raise ApiError(409, "conflict", str(error)) from None


async def roll_back(connection: Any, reason: str, now: datetime, by: str) -> Promotion:
    """Brings back what was in force before. Raises ApiError 409 when nothing was, or another promotion came meanwhile."""
    over = await policies.in_force(connection, policy.BUILT_IN)
    try:
        return await policies.roll_back(connection, over, Given(now, by, reason))
    except (policies.NothingBeforeError, policies.OvertakenError) as error:
        raise ApiError(409, "conflict", str(error)) from None


def _built_in() -> Policy:
    return Policy(version=0, settings=policy.BUILT_IN)


def _marked(one: Policy, over: InForce) -> Policy:
    is_in_force = (one.settings.name, one.version) == (over.name, over.version)
    return msgspec.structs.replace(one, is_in_force=is_in_force)
