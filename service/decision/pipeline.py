"""A decision, told as it happens: identify, mask, featurize, score, pmf, draw, gate, log, answer."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import numpy as np
import numpy.typing as npt

from bandits import tastes
from bandits.kernels import random
from bandits.policies import draw
from bandits.policies.draw import Draw, Terms
from bandits.policies.model import Model
from schema.decision import Action, DecisionInputs, Rules
from schema.ids import stable_share, uuid7
from service import telemetry
from service.decision import inputs, masks
from service.decision.ask import Ask, Decided
from service.store import decisions
from service.store.catalogue import Catalogue
from service.store.decision_people import DecisionPerson

THOMPSON: Final = "thompson_linear"
UNIFORM: Final = "uniform"


class _Step:
    """One decision on its way through the pipeline."""

    __slots__ = ("ask", "decision_id", "drawn", "inputs", "mask", "person", "phi", "reasons", "tastes")

    def __init__(self, ask: Ask, person: DecisionPerson, now: datetime) -> None:
        self.ask = ask
        self.person = person
        self.decision_id: UUID = uuid7(now, ask.entropy)
        self.mask: npt.NDArray[np.bool_]
        self.phi: npt.NDArray[np.float32]
        self.reasons: tuple[str, ...] = ()
        self.drawn: Draw | None = None
        self.tastes = b""
        self.inputs = DecisionInputs(
            rules=ask.rules,
            context=ask.context,
            local_hour=inputs.local_hour_of(person.time_zone, ask.context, now),
            may_personalise=person.has_personalization_consent,
            candidate_offer_ids=None if ask.candidates is None else list(ask.candidates),
            excluded_offer_ids=list(ask.excluded),
            decided_at=now,
        )


async def decide(
    connection: Any, asked: Sequence[tuple[Ask, DecisionPerson]], catalogue: Catalogue, model: Model, now: datetime
) -> list[Decided]:
    """Decides for people that have been identified, logs all decisions in one batch, and only then answers."""
    decided, rows = [], []
    for ask, person in asked:
        step = _Step(ask, person, now)
        step.mask, step.reasons = masks.eligible(catalogue, person, ask, now)
        in_holdout = stable_share(person.user_id, "holdout") < ask.holdout_share
        in_control = not in_holdout and stable_share(person.user_id, "control") < ask.control_share
        if step.mask.any():
            step.phi = _featurize(step, catalogue, model, now)
            step.drawn = draw_by_policy(model, step.phi, step.mask, ask.rules, step.decision_id, in_control=in_control)
        answer = _answer(step, catalogue, model, now, in_holdout=in_holdout, in_control=in_control)
        decided.append(answer)
        rows.append(_row(step, answer))
        telemetry.DECISIONS.labels(ask.channel.name, "offer" if answer.offer_indices else "no_send").inc()
    await decisions.insert(connection, rows)
    return decided


def draw_by_policy(
    model: Model,
    phi: npt.NDArray[np.float32],
    mask: npt.NDArray[np.bool_],
    rules: Rules,
    decision_id: UUID,
    *,
    in_control: bool,
) -> Draw:
    """The draw alone, a function of its arguments: a replay calls it with what was logged."""
    policy = draw.uniform if in_control else draw.thompson
    return policy(model, phi, mask, terms_of(rules), random.key_from_bytes(decision_id.bytes))


def terms_of(rules: Rules) -> Terms:
    """The logged rules as the engine takes them."""
    return Terms(
        slots=rules.slots,
        floor=rules.floor,
        values=tuple(rules.values),
        thompson_scale=rules.thompson_scale,
        is_gated=rules.is_gated,
        gate_floor=rules.gate_floor,
        attention_price=rules.attention_price,
        can_be_negative=rules.can_be_negative,
    )


def pmf_hash(drawn: Draw | None) -> bytes:
    """Fingerprint of the pmf of slot 0, by which a replay is judged; of nothing when the mask was empty."""
    return hashlib.sha256(b"" if drawn is None else drawn.pmf.astype("<f8").tobytes()).digest()


def _featurize(step: _Step, catalogue: Catalogue, model: Model, now: datetime) -> npt.NDArray[np.float32]:
    relevant = inputs.of_catalogue(catalogue).is_relevant_tag
    step.tastes = tastes.for_decision(step.person.tastes or b"", relevant)
    return inputs.phi_of(catalogue, model, step.tastes, step.inputs, now)


def _answer(
    step: _Step, catalogue: Catalogue, model: Model, now: datetime, *, in_holdout: bool, in_control: bool
) -> Decided:
    drawn, reasons = step.drawn, step.reasons
    indices: tuple[int, ...] = ()
    if drawn is not None:
        if in_holdout:
            reasons = ("holdout",)
        elif not drawn.is_sent:
            reasons = ("gate",)
        else:
            indices = tuple(int(index) for index in drawn.chosen)
            reasons = ("control",) if in_control else ()
    return Decided(
        decision_id=step.decision_id,
        person=step.person,
        catalogue=catalogue,
        offer_indices=indices,
        draw=drawn,
        in_holdout=in_holdout,
        in_control=in_control,
        policy=UNIFORM if in_control else THOMPSON,
        snapshot_version=model.version,
        reason_codes=reasons,
        decided_at=now,
    )


def _row(step: _Step, answer: Decided) -> decisions.LoggedDecision:
    drawn, ask, ids = step.drawn, step.ask, answer.catalogue.ids
    return decisions.LoggedDecision(
        user_id=step.person.user_id,
        decision_id=step.decision_id,
        placement=ask.placement,
        channel=ask.channel,
        action=Action.OFFER if answer.offer_indices else Action.NO_SEND,
        in_holdout=answer.in_holdout,
        in_control=answer.in_control,
        is_degraded=False,
        policy=answer.policy,
        snapshot_version=answer.snapshot_version,
        catalogue_version=answer.catalogue.version,
        user_version=step.person.version,
        campaign_id=ask.campaign_id,
        request=step.inputs,
        tastes=step.tastes,
        eligible=np.packbits(step.mask, bitorder="little").tobytes(),
        offer_ids=[] if drawn is None else ids[drawn.chosen].tolist(),
        propensities=[] if drawn is None else drawn.propensities.tolist(),
        send_probability=_logged_send_probability(answer),
        phi=b"" if drawn is None else step.phi[drawn.chosen].astype("<f4").tobytes(),
        predictions=b"" if drawn is None else drawn.predictions.astype("<f4").tobytes(),
        pmf_sha256=pmf_hash(drawn),
        reason_codes=list(answer.reason_codes),
    )


def _logged_send_probability(answer: Decided) -> float:
    if answer.draw is None or answer.in_holdout:
        return 0.0
    return answer.draw.send_probability
