"""The draws of many people by one call of the kernel; who is not like the others is left to be drawn alone."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from bandits import tastes
from bandits.kernels import random
from bandits.kernels.many import Draws
from bandits.personal import UnknownSumsError
from bandits.policies import draw_together
from bandits.policies.draw import Terms
from bandits.policies.draw_together import Drawer, Goods
from bandits.policies.model import Model
from bandits.tastes import UnknownStateError
from schema.decision import DecisionInputs
from service.decision import inputs, own_part
from service.decision.ask import Outcome
from service.decision.remembered import Remembered
from service.decision.step import Ids, Step
from service.store import drawn_columns
from service.store.catalogue import Catalogue
from service.store.drawn_columns import Drawn

TOGETHER_MIN: Final = 1
TOGETHER_MAX: Final = 32
"""Of one call: while it runs nothing else does."""

TermsOf = Callable[[DecisionInputs], Terms]


def draw(steps: Sequence[Step], catalogue: Catalogue, model: Model, terms_of: TermsOf) -> list[Step]:
    """Draws for those who are asked the same, as many at once as TOGETHER_MAX; gives those that are still to be drawn.

    Args:
        steps: with something to draw from.
        catalogue: the offers.
        model: what is decided with.
        terms_of: the terms of somebody who left no push unanswered, from their inputs.
    """
    rest: list[Step] = []
    groups: dict[int, list[Step]] = {}
    for step in steps:
        if _is_plain(step):
            groups.setdefault(id(step.ask.rules), []).append(step)
        else:
            rest.append(step)
    for group in groups.values():
        for begin in range(0, len(group), TOGETHER_MAX):
            part = group[begin : begin + TOGETHER_MAX]
            rest += part if len(part) < TOGETHER_MIN else _draw(part, catalogue, model, terms_of(part[0].inputs))
    return rest


def _is_plain(step: Step) -> bool:
    """By the model's own goal, without prices."""
    given = step.inputs
    return given.gain is None and not given.prices and given.cost_price == 0.0


def _draw(part: Sequence[Step], catalogue: Catalogue, model: Model, terms: Terms) -> list[Step]:
    known, has_layer = inputs.of_catalogue(catalogue), bool(len(model.personal_variances))
    try:
        drawers = [_drawer(step, known, key, has_layer=has_layer) for step, key in zip(part, _keys(part), strict=True)]
        draws = draw_together.draw(
            model, goods.of(catalogue, model), terms, drawers, part[0].inputs.decided_at.timestamp()
        )
    except (UnknownStateError, UnknownSumsError):
        return list(part)  # one of them is damaged: alone, the others are not held up by that
    filled = draws.filled.tolist()
    kinds = [
        _Columns(slots, has_layer and drawer.may_personalise) for slots, drawer in zip(filled, drawers, strict=True)
    ]
    for kind in {*kinds}:
        if kind.slots:
            _keep(part, drawers, draws, [n for n, other in enumerate(kinds) if other == kind], catalogue.ids, kind)
    return [step for step, slots in zip(part, filled, strict=True) if not slots]


def _goods_of(catalogue: Catalogue, model: Model) -> Goods:
    known, axes = inputs.of_catalogue(catalogue), own_part.axes.of(catalogue, model)
    popularity, tags = inputs.popularity_of(catalogue, model), len(known.is_relevant_tag)
    return Goods(catalogue.tag_ids, known.may_be_personal, known.discounts, popularity, axes, tags)


goods: Final = Remembered(_goods_of)
"""The offers as the kernel takes them."""


def _keys(part: Sequence[Step]) -> list[int]:
    """Of each one's own random numbers."""
    ids = b"".join([step.decision_id.bytes for step in part])
    keys: list[int] = random.keys_from_bytes(np.frombuffer(ids, np.uint8).reshape(len(part), -1)).tolist()
    return keys


def _drawer(step: Step, known: inputs.OfferFeatures, key: int, *, has_layer: bool) -> Drawer:
    person, given = step.person, step.inputs
    packed = sums = b""
    if given.may_personalise:
        packed = tastes.for_decision(person.tastes or b"", known.is_relevant_tag, person.created_at.timestamp())
        sums = (person.personal or b"") if has_layer else b""
    context = given.context
    return Drawer(
        packed,
        sums,
        given.may_personalise,
        given.local_hour,
        step.in_control,
        step.eligible.places,
        key,
        inputs.nearness(context),
        bool(context.is_raining),
        given.basket_tag_ids,
    )


class _Columns(NamedTuple):
    """What the logged columns of a draw depend on: how many slots were filled, and whether there is an own part."""

    slots: int
    has_own: bool


def _keep(
    part: Sequence[Step], drawers: Sequence[Drawer], draws: Draws, places: Sequence[int], ids: Ids, kind: _Columns
) -> None:
    """Of those at these places, whose columns are alike."""
    some = slice(None) if len(places) == len(part) else np.array(places)
    chosen, propensity, pmf = draws.chosen[some, : kind.slots], draws.propensity[some, : kind.slots], draws.pmf[some]
    phi, predictions = draws.phi[some, : kind.slots], draws.predictions[some, : kind.slots]
    offset, z = (draws.offset[some, : kind.slots], draws.z[some, : kind.slots]) if kind.has_own else (None, None)
    eligible = [len(drawers[place].eligible) for place in places]
    logged = drawn_columns.encoded(Drawn(ids[chosen], propensity, pmf, eligible, phi, predictions, z, offset))
    sends, are_sent = draws.send[some].tolist(), draws.is_sent[some].tolist()
    outcomes = zip(chosen.tolist(), propensity.tolist(), pmf, sends, are_sent, strict=True)
    for n, (place, (mine, propensities, of_mine, send, is_sent)) in enumerate(zip(places, outcomes, strict=True)):
        step, drawer = part[place], drawers[place]
        step.tastes, step.own_sums, step.logged = drawer.tastes, drawer.sums, logged[n]
        step.drawn = Outcome(mine, propensities, of_mine[: eligible[n]], send, bool(is_sent))
