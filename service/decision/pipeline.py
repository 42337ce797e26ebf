"""A decision, told as it happens: mask, featurize, score, pmf, draw, gate, log, answer."""

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from time import perf_counter
from typing import Any, Final
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
from service import telemetry
from service.batching import RETRY_AFTER_S
from service.decision import gains, inputs, own_part, stock, together
from service.decision.ask import Ask, Decided
from service.decision.kept import CONTROL, Kept, of_step
from service.decision.prices import prices_of
from service.decision.step import Alike, Step
from service.decision.stock import Overtaken, Stock
from service.errors import ApiError
from service.store import decisions
from service.store.catalogue import Catalogue
from service.store.decision_people import DecisionPerson

ATTEMPTS_MAX: Final = 4
"""Of drawing a batch under the locks of what it may promise: one is enough but for people who are merged meanwhile."""

BREATH_S: Final = 0.002
"""A large batch lets the event loop do other things this often."""

_LOG: Final = telemetry.logger("decisions")


async def decide(
    connection: Any, asked: Sequence[tuple[Ask, DecisionPerson]], catalogue: Catalogue, model: Model, now: datetime
) -> list[Decided]:
    """Decides for people that have been identified, logs all decisions in one batch, and only then answers.

    To those who may be given what has an end it is promised in the same transaction.

    Raises:
        ApiError: 503, when others took what was left time and again.
    """
    kept = await _decide_plenty(asked, catalogue, model, now)
    scarce = [place for place in range(len(asked)) if place not in kept]
    if scarce:
        await _decide_and_promise(connection, asked, scarce, kept, catalogue, model, now)
    else:
        await decisions.insert(connection, [one.row for one in kept.values()])
    for (channel, action), count in Counter(
        [(one.row.shared.channel, one.row.action) for one in kept.values()]
    ).items():
        telemetry.DECISIONS.labels(Channel(channel).name, Action(action).name.lower()).inc(count)
    return [kept[place].decided for place in range(len(asked))]


async def _decide_plenty(
    asked: Sequence[tuple[Ask, DecisionPerson]], catalogue: Catalogue, model: Model, now: datetime
) -> dict[int, Kept]:
    """Decides, many at once, for those who can be given nothing that has an end; by place."""
    kept: dict[int, Kept] = {}
    alike = Alike(catalogue, model, now)
    breath = perf_counter() + BREATH_S
    for begin in range(0, len(asked), together.TOGETHER_MAX):
        if perf_counter() > breath:
            await asyncio.sleep(0)
            breath = perf_counter() + BREATH_S
        steps: dict[int, Step] = {}
        for place, (ask, person) in enumerate(asked[begin : begin + together.TOGETHER_MAX], begin):
            step = Step(ask, person, catalogue, now, alike)
            if not step.has_end:
                steps[place] = step
        _draw_all([step for step in steps.values() if not step.reasons], catalogue, model, now)
        kept |= {place: of_step(step, catalogue, model, now, None) for place, step in steps.items()}
    return kept


async def _decide_and_promise(
    connection: Any,
    asked: Sequence[tuple[Ask, DecisionPerson]],
    scarce: Sequence[int],
    kept: dict[int, Kept],
    catalogue: Catalogue,
    model: Model,
    now: datetime,
) -> None:
    """Decides for those at the `scarce` places, and logs all: at first without a lock; if others take what was found left, again under them."""
    asking = [asked[place] for place in scarce]
    for find in (stock.look, *[stock.hold] * ATTEMPTS_MAX):
        with contextlib.suppress(Overtaken):
            async with connection.transaction():
                left = await find(connection, catalogue, asking, now)
                kept |= zip(scarce, await _decide_each(asking, catalogue, model, now, left), strict=True)
                await stock.write(connection, left, now)
                await decisions.insert(connection, [one.row for one in kept.values()])
                return
    raise ApiError(503, "overloaded", "Others took what was left, time and again.", retry_after_s=RETRY_AFTER_S)


async def _decide_each(
    asked: Sequence[tuple[Ask, DecisionPerson]], catalogue: Catalogue, model: Model, now: datetime, left: Stock
) -> list[Kept]:
    """One after the other, each under the mask of what those before have left."""
    kept: list[Kept] = []
    alike = Alike(catalogue, model, now)
    breath = perf_counter() + BREATH_S
    for ask, person in asked:
        if perf_counter() > breath:
            await asyncio.sleep(0)
            breath = perf_counter() + BREATH_S
        step = Step(ask, person, catalogue, now, alike)
        step.leave(left, catalogue)
        if not step.reasons:
            _draw_all([step], catalogue, model, now)
        kept.append(of_step(step, catalogue, model, now, left))
    return kept


def _draw_all(steps: Sequence[Step], catalogue: Catalogue, model: Model, now: datetime) -> None:
    for step in together.draw(steps, catalogue, model, _terms_of_all):
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
    offers = Offers(phi, step.eligible.mask, catalogue.tag_ids, prices_of(catalogue, step.inputs))
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
