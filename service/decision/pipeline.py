"""A decision, told as it happens: mask, featurize, score, pmf, draw, gate, log, answer."""

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from time import perf_counter
from typing import Any, Final, NamedTuple
from uuid import UUID

from bandits import tastes
from bandits.incremental import Known
from bandits.kernels import random
from bandits.personal import PersonalScores, UnknownSumsError
from bandits.policies import draw
from bandits.policies.draw import Draw, Offers, Terms
from bandits.policies.model import Model
from bandits.policies.scores import NotFiniteError
from schema.decision import Action, Channel, DecisionInputs
from schema.policy import PolicyKind
from service import telemetry
from service.batching import RETRY_AFTER_S
from service.decision import gains, inputs, own_part, stock, together
from service.decision.ask import Ask, Decided
from service.decision.prices import prices_of
from service.decision.step import Alike, Step
from service.decision.stock import Overtaken, Stock, Taker
from service.errors import ApiError
from service.store import decisions
from service.store.catalogue import Catalogue
from service.store.decision_people import DecisionPerson
from service.store.decision_rows import Row

CONTROL: Final[PolicyKind] = "uniform"

ATTEMPTS_MAX: Final = 4
"""Of drawing a batch under the locks of what it may promise: one is enough but for people who are merged meanwhile."""

BREATH_S: Final = 0.005
"""A large batch lets the event loop do other things this often."""

_LOG: Final = telemetry.logger("decisions")


class _Batch(NamedTuple):
    """Answers and what is logged of them, in order."""

    decided: list[Decided]
    rows: list[Row]


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
    # Where something has an end each is drawn under the mask of what those before have left.
    size = 1 if left is not None else together.TOGETHER_MAX
    alike = Alike(catalogue, model, now)
    breath = perf_counter() + BREATH_S
    for begin in range(0, len(asked), size):
        if perf_counter() > breath:
            await asyncio.sleep(0)
            breath = perf_counter() + BREATH_S
        steps = [Step(ask, person, catalogue, now, left, alike) for ask, person in asked[begin : begin + size]]
        _draw_all([step for step in steps if not step.reasons], catalogue, model, now, alike)
        for step in steps:
            answer = _answer(step, catalogue, model, now, left)
            batch.decided.append(answer)
            batch.rows.append(_row(step, answer, alike.packed(step.mask)))
    return batch


def _draw_all(steps: Sequence[Step], catalogue: Catalogue, model: Model, now: datetime, alike: Alike) -> None:
    for step in together.draw(steps, catalogue, model, alike, _terms_of_all):
        _draw_for(step, catalogue, model, now)


def _terms_of_all(given: DecisionInputs) -> Terms:
    return terms_of(given, b"", in_control=False)


def _draw_for(step: Step, catalogue: Catalogue, model: Model, now: datetime) -> None:
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


def _draw_by(step: Step, packed: bytes, own_sums: bytes, catalogue: Catalogue, model: Model, now: datetime) -> None:
    phi = inputs.phi_of(catalogue, model, packed, step.inputs, now)
    offers = Offers(phi, step.mask, catalogue.tag_ids, prices_of(catalogue, step.inputs))
    terms = terms_of(step.inputs, packed, in_control=step.in_control)
    own = own_part.scores(catalogue, model, own_sums, step.inputs, phi)
    known = None if step.ask.gain is None else step.ask.gain.known
    drawn = draw_for_goal(model, known, catalogue, step.inputs, offers, terms, step.decision_id, own)
    step.holds(packed, own_sums, phi, own, drawn, catalogue.ids)


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
    unanswered = tastes.unanswered(tastes.view(packed), given.decided_at.timestamp()) if packed else 0.0
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


def _answer(step: Step, catalogue: Catalogue, model: Model, now: datetime, left: Stock | None) -> Decided:
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


def _shown(step: Step) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """What is shown of what was drawn, and why nothing is."""
    if step.drawn is None:
        return (), step.reasons
    if step.in_holdout:
        return (), ("holdout",)
    if not step.drawn.is_sent:
        return (), ("gate",)
    return tuple(step.drawn.chosen), ("control",) if step.in_control else ()


def _row(step: Step, answer: Decided, eligible: bytes) -> Row:
    ask = step.ask
    return Row(
        user_id=step.person.user_id,
        decision_id=step.decision_id,
        user_version=step.person.version,
        action=Action.OFFER if answer.offer_indices else Action.NO_SEND,
        in_holdout=answer.in_holdout,
        in_control=answer.in_control,
        is_degraded=False,
        send_probability=_logged_send_probability(answer),
        channel=ask.channel,
        snapshot_version=answer.snapshot_version,
        catalogue_version=answer.catalogue.version,
        campaign_id=ask.campaign_id,
        placement=ask.placement,
        policy=answer.policy,
        reason_codes=answer.reason_codes,
        request=step.inputs,
        tastes=step.tastes,
        eligible=eligible,
        personal=step.own_sums,
        drawn=step.logged,
    )


def _logged_send_probability(answer: Decided) -> float:
    if answer.draw is None or answer.in_holdout:
        return 0.0
    return answer.draw.send_probability
