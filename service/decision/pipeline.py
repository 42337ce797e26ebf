"""A decision, told as it happens: mask, featurize, score, pmf, draw, gate, log, answer."""

import asyncio
import contextlib
import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from time import perf_counter
from typing import Any, Final, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from bandits import tastes
from bandits.incremental import Known
from bandits.kernels import random
from bandits.personal import PersonalScores, UnknownSumsError
from bandits.policies import draw
from bandits.policies.draw import Draw, Offers, Terms
from bandits.policies.model import Model
from bandits.policies.scores import REDEEM, NotFiniteError
from schema.decision import Action, Channel, DecisionInputs
from schema.ids import uuid7
from schema.policy import PolicyKind
from service import telemetry
from service.batching import RETRY_AFTER_S
from service.decision import gains, inputs, masks, own_part, stock
from service.decision.ask import Ask, Decided
from service.decision.groups import group_of
from service.decision.prices import prices_of
from service.decision.stock import Overtaken, Stock, Taker
from service.errors import ApiError
from service.store import decisions
from service.store.catalogue import Catalogue
from service.store.decision_people import DecisionPerson

CONTROL: Final[PolicyKind] = "uniform"

ATTEMPTS_MAX: Final = 4
"""Of drawing a batch under the locks of what it may promise: one is enough but for people who are merged meanwhile."""

BREATH_S: Final = 0.005
"""A large batch lets the event loop do other things this often."""

_LOG: Final = telemetry.logger("decisions")


class _Batch(NamedTuple):
    """Answers and what is logged of them, in order."""

    decided: list[Decided]
    rows: list[decisions.LoggedDecision]


class _Step:
    """One decision on its way through the pipeline."""

    __slots__ = (
        "ask",
        "decision_id",
        "drawn",
        "in_control",
        "in_holdout",
        "inputs",
        "mask",
        "own",
        "own_sums",
        "person",
        "phi",
        "reasons",
        "tastes",
    )

    def __init__(
        self, ask: Ask, person: DecisionPerson, catalogue: Catalogue, model: Model, now: datetime, left: Stock | None
    ) -> None:
        self.ask = ask
        self.person = person
        self.decision_id: UUID = uuid7(now, ask.entropy)
        group = group_of(person.user_id, ask.holdout_share, ask.control_share)
        self.in_holdout, self.in_control = group == "holdout", group == "control"
        self.mask, self.reasons = masks.eligible(catalogue, person, ask, now)
        if left is not None and not self.reasons:
            self.mask &= left.is_left_for(person.user_id, ask.campaign_id)
            self.reasons = () if self.mask.any() else ("sold_out",)
        self.inputs = _inputs(ask, person, catalogue, model, now)
        if left is not None and not self.reasons:
            self.inputs = left.priced(self.inputs, ask, self.mask)
        self.tastes = b""
        self.own_sums = b""
        self.own: PersonalScores | None = None
        self.phi: npt.NDArray[np.float32]
        self.drawn: Draw | None = None


async def decide(
    connection: Any, asked: Sequence[tuple[Ask, DecisionPerson]], catalogue: Catalogue, model: Model, now: datetime
) -> list[Decided]:
    """Decides for people that have been identified, logs all decisions in one batch, and only then answers.

    What has an end is promised to them in the same transaction.

    Raises:
        ApiError: 503, when others took what was left time and again.
    """
    if not stock.is_needed(catalogue, asked):
        decided, rows = await _decide_all(asked, catalogue, model, now, None)
        await decisions.insert(connection, rows)
    else:
        decided, rows = await _decide_and_promise(connection, asked, catalogue, model, now)
    for (channel, action), count in Counter((row.channel, row.action) for row in rows).items():
        telemetry.DECISIONS.labels(Channel(channel).name, Action(action).name.lower()).inc(count)
    return decided


async def _decide_and_promise(
    connection: Any, asked: Sequence[tuple[Ask, DecisionPerson]], catalogue: Catalogue, model: Model, now: datetime
) -> _Batch:
    """At first without a lock; if others take what was found left, again under the locks."""
    for find in (stock.look, *[stock.hold] * ATTEMPTS_MAX):
        with contextlib.suppress(Overtaken):
            async with connection.transaction():
                left = await find(connection, catalogue, asked, now)
                batch = await _decide_all(asked, catalogue, model, now, left)
                await stock.write(connection, left, now)
                await decisions.insert(connection, batch.rows)
                return batch
    raise ApiError(503, "overloaded", "Others took what was left, time and again.", retry_after_s=RETRY_AFTER_S)


async def _decide_all(
    asked: Sequence[tuple[Ask, DecisionPerson]], catalogue: Catalogue, model: Model, now: datetime, left: Stock | None
) -> _Batch:
    batch = _Batch([], [])
    breath = perf_counter() + BREATH_S
    for ask, person in asked:
        if perf_counter() > breath:
            await asyncio.sleep(0)
            breath = perf_counter() + BREATH_S
        step = _Step(ask, person, catalogue, model, now, left)
        if not step.reasons:
            _draw_for(step, catalogue, model, now)
        answer = _answer(step, catalogue, model, now, left)
        batch.decided.append(answer)
        batch.rows.append(_row(step, answer))
    return batch


def _inputs(ask: Ask, person: DecisionPerson, catalogue: Catalogue, model: Model, now: datetime) -> DecisionInputs:
    context = ask.context
    return DecisionInputs(
        rules=ask.rules,
        context=inputs.kept(context),
        local_hour=inputs.local_hour_of(person.time_zone, context, now),
        may_personalise=person.has_personalization_consent,
        basket_tag_ids=inputs.basket_tag_ids(catalogue, context) if person.has_personalization_consent else [],
        dispersion=float(model.dispersions[REDEEM]),
        decided_at=now,
        gain=gains.logged(ask.gain, may_personalise=person.has_personalization_consent),
    )


def _draw_for(step: _Step, catalogue: Catalogue, model: Model, now: datetime) -> None:
    """Fills phi, what was known of the person, and the draw. A state that cannot be read counts as none: its owner is a stranger."""
    packed = (step.person.tastes or b"") if step.inputs.may_personalise else b""
    own_sums = (step.person.personal or b"") if step.inputs.may_personalise else b""
    try:
        joined_s = step.person.created_at.timestamp() if step.inputs.may_personalise else 0.0
        known = tastes.for_decision(packed, inputs.of_catalogue(catalogue).is_relevant_tag, joined_s)
        _draw_by(step, known, own_sums, catalogue, model, now)
    except (tastes.UnknownStateError, UnknownSumsError, NotFiniteError) as error:
        if not (packed or own_sums):
            raise
        _LOG.error("a user's state is damaged", user_id=step.person.user_id, error=type(error).__qualname__)
        _draw_by(step, b"", b"", catalogue, model, now)


def _draw_by(step: _Step, packed: bytes, own_sums: bytes, catalogue: Catalogue, model: Model, now: datetime) -> None:
    step.tastes = packed
    step.phi = inputs.phi_of(catalogue, model, packed, step.inputs, now)
    offers = Offers(step.phi, step.mask, catalogue.tag_ids, prices_of(catalogue, step.inputs))
    terms = terms_of(step.inputs, packed, in_control=step.in_control)
    step.own = own_part.scores(catalogue, model, own_sums, step.inputs, step.phi)
    step.own_sums = own_sums if step.own is not None else b""
    known = None if step.ask.gain is None else step.ask.gain.known
    step.drawn = draw_for_goal(model, known, catalogue, step.inputs, offers, terms, step.decision_id, step.own)


def draw_for_goal(
    model: Model,
    known: Known | None,
    catalogue: Catalogue,
    given: DecisionInputs,
    offers: Offers,
    terms: Terms,
    decision_id: UUID,
    own: PersonalScores | None,
) -> Draw:
    """The draw alone, a function of its arguments: a replay calls it with what was logged.

    With what is `known` of pushes it is one for incremental_value; the control is drawn uniformly whatever the goal.
    """
    if known is not None and terms.kind != CONTROL:
        return gains.draw(model, known, catalogue, given, offers, terms, decision_id, own)
    return draw.draw(model, offers, terms, random.key_from_bytes(decision_id.bytes), own)


def terms_of(given: DecisionInputs, packed: bytes, *, in_control: bool) -> Terms:
    """The logged rules as the engine takes them.

    Thompson's deviations grow with the dispersion of what they were learned from. A push costs the more attention the more of the
    earlier ones were left unanswered.

    Raises:
        UnknownStateError: `packed` cannot be read.
    """
    rules = given.rules
    unanswered = tastes.unanswered(tastes.view(packed), given.decided_at.timestamp())
    kind = CONTROL if in_control else rules.kind
    return Terms(
        kind=kind,
        slots=rules.slots,
        floor=rules.floor,
        exploration=rules.exploration * math.sqrt(given.dispersion) if kind == "thompson" else rules.exploration,
        values=tuple(rules.values),
        per_tag_max=rules.per_tag_max,
        is_gated=rules.is_gated,
        gate_floor=rules.gate_floor,
        attention_price=rules.attention_price * (1.0 + unanswered),
        can_be_negative=rules.can_be_negative,
    )


def pmf_hash(drawn: Draw | None) -> bytes:
    """Fingerprint of the pmf of slot 0, by which a replay is judged; of nothing when the mask was empty."""
    return hashlib.sha256(b"" if drawn is None else drawn.pmf.astype("<f8").tobytes()).digest()


def _answer(step: _Step, catalogue: Catalogue, model: Model, now: datetime, left: Stock | None) -> Decided:
    indices, reasons = _shown(step)
    taker = Taker(step.person.user_id, step.decision_id, step.ask)
    return Decided(
        decision_id=step.decision_id,
        person=step.person,
        catalogue=catalogue,
        offer_indices=indices,
        draw=step.drawn,
        in_holdout=step.in_holdout,
        in_control=step.in_control,
        policy=CONTROL if step.in_control else step.ask.rules.policy,
        snapshot_version=model.version,
        reason_codes=reasons,
        decided_at=now,
        reserved=(None,) * len(indices) if left is None else left.take(taker, indices),
    )


def _shown(step: _Step) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """What is shown of what was drawn, and why nothing is."""
    if step.drawn is None:
        return (), step.reasons
    if step.in_holdout:
        return (), ("holdout",)
    if not step.drawn.is_sent:
        return (), ("gate",)
    return tuple(step.drawn.chosen.tolist()), ("control",) if step.in_control else ()


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
        personal=step.own_sums,
        z=b"" if drawn is None or step.own is None else step.own.z[drawn.chosen].astype("<f4").tobytes(),
        personal_offsets=[] if drawn is None or step.own is None else drawn.personal_offsets.tolist(),
    )


def _logged_send_probability(answer: Decided) -> float:
    if answer.draw is None or answer.in_holdout:
        return 0.0
    return answer.draw.send_probability
