"""The draws of many people by one call of the kernel; who is not like the others is left to be drawn alone."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from bandits import tastes
from bandits.kernels import random
from bandits.kernels.draw_many import NOT_DRAWN
from bandits.kernels.many import Draws
from bandits.personal import UnknownSumsError
from bandits.policies import draw_together
from bandits.policies.draw import Draw, Terms
from bandits.policies.draw_together import Drawer, Goods
from bandits.policies.model import Model
from bandits.tastes import UnknownStateError
from schema.decision import Context, DecisionInputs
from service.decision import inputs
from service.decision.step import Step
from service.store.catalogue import Catalogue

TOGETHER_MIN: Final = 2
TOGETHER_MAX: Final = 128
"""Of one call: while it runs nothing else does."""

TermsOf = Callable[[DecisionInputs], Terms]


def draw(steps: Sequence[Step], catalogue: Catalogue, model: Model, now: datetime, terms_of: TermsOf) -> list[Step]:
    """Draws for those who are asked the same, as many at once as TOGETHER_MAX; gives those that are still to be drawn.

    Args:
        steps: with something to draw from.
        catalogue: the offers.
        model: what is decided with.
        now: of the decisions.
        terms_of: the terms of somebody who left no push unanswered, from their inputs.
    """
    rest: list[Step] = []
    alike: dict[int, list[Step]] = {}
    for step in steps:
        if _is_plain(step):
            alike.setdefault(id(step.ask.rules), []).append(step)
        else:
            rest.append(step)
    for group in alike.values():
        for begin in range(0, len(group), TOGETHER_MAX):
            part = group[begin : begin + TOGETHER_MAX]
            rest += part if len(part) < TOGETHER_MIN else _draw(part, catalogue, model, now, terms_of(part[0].inputs))
    return rest


def _is_plain(step: Step) -> bool:
    """One slot by the model's own goal, without prices, from nothing but the person and the hour."""
    given = step.inputs
    return (
        given.rules.slots == 1
        and given.gain is None
        and not given.prices
        and given.cost_price == 0.0
        and not given.basket_tag_ids
        and _is_bare(given.context)
    )


def _is_bare(context: Context) -> bool:
    return context.distance_m is None and not context.is_raining


def _draw(part: Sequence[Step], catalogue: Catalogue, model: Model, now: datetime, terms: Terms) -> list[Step]:
    known, goods = inputs.of_catalogue(catalogue), goods_of(catalogue, model)
    has_layer = bool(len(model.personal_variances))
    try:
        drawers = [_drawer(step, known, has_layer=has_layer) for step in part]
        draws = draw_together.draw(model, goods, terms, drawers, now.timestamp())
    except (UnknownStateError, UnknownSumsError):
        return list(part)  # one of them is damaged: alone, the others are not held up by that
    chosen = draws.chosen.tolist()
    for place, (step, drawer) in enumerate(zip(part, drawers, strict=True)):
        if chosen[place] != NOT_DRAWN:
            _keep(step, drawer, draws, place, has_own=has_layer and drawer.may_personalise)
    return [step for step, offer in zip(part, chosen, strict=True) if offer == NOT_DRAWN]


def goods_of(catalogue: Catalogue, model: Model) -> Goods:
    """The offers as the kernel takes them."""
    known = inputs.of_catalogue(catalogue)
    popularity = inputs.popularity_of(catalogue, model)
    return Goods(catalogue.tag_ids, known.may_be_personal, known.discounts, popularity, len(known.is_relevant_tag))


def _drawer(step: Step, known: inputs.OfferFeatures, *, has_layer: bool) -> Drawer:
    person, given = step.person, step.inputs
    packed = sums = b""
    if given.may_personalise:
        packed = tastes.for_decision(person.tastes or b"", known.is_relevant_tag, person.created_at.timestamp())
        sums = (person.personal or b"") if has_layer else b""
    key = random.key_from_bytes(step.decision_id.bytes)
    return Drawer(packed, sums, given.may_personalise, given.local_hour, step.in_control, step.mask, key)


def _keep(step: Step, drawer: Drawer, draws: Draws, place: int, *, has_own: bool) -> None:
    mine = slice(place, place + 1)
    step.tastes, step.own_sums = drawer.tastes, drawer.sums
    step.phi, step.z = draws.phi[mine], draws.z[mine] if has_own else None
    step.drawn = Draw(
        draws.chosen[mine],
        draws.propensity[mine],
        draws.pmf[place],
        draws.predictions[mine],
        draws.offset[mine],
        float(draws.send[place]),
        bool(draws.is_sent[place]),
    )
