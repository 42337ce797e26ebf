"""A slate and the gate for many people at once: what `draw.draw` gives each of them, bit for bit, by one call of the kernel."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits import features, personal, tastes
from bandits.delay import WINDOW_S
from bandits.kernels import draw_many, many
from bandits.kernels.draw_many import BY_VALUE, EVENLY
from bandits.kernels.many import PERSON, PERSON_STRUCT, Belief, Draws, People, Shelf
from bandits.policies.draw import Terms
from bandits.policies.model import Model
from bandits.policies.scores import REDEEM
from schema.policy import PolicyKind

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]

_COLUMN: Final[dict[PolicyKind, int]] = {
    "uniform": EVENLY,
    "rules_only": features.NAMES.index("lpop"),
    "usual": features.NAMES.index("lp"),
}


class Goods(NamedTuple):
    """The offers: tags (offers, n) padded with -1, may_be_personal (offers,), discounts (offers,), of_people (offers, POPULARITY), axes
    (offers, AXES) of the map of tastes; tag_count of what an offer may carry.
    """

    tags: npt.NDArray[np.int16]
    may_be_personal: Mask
    discounts: F32
    of_people: F64
    axes: F32
    tag_count: int


class Drawer(NamedTuple):
    """One for whom is drawn: as `tastes.for_decision` gave them, their sums, and whether either may be used.

    `hour` of the week on their clock, -1 when unknown; `is_control` is drawn evenly; `eligible` are the places of the offers that are, one at least.
    nearness, is_wet and the tags of the basket as `featurize` takes them.
    """

    tastes: bytes
    sums: bytes
    may_personalise: bool
    hour: int
    is_control: bool
    eligible: Places
    key: int
    nearness: float = 0.0
    is_wet: bool = False
    basket_tag_ids: Sequence[int] = ()


def draw(model: Model, goods: Goods, terms: Terms, given: Sequence[Drawer], now_s: float) -> Draws:
    """Draws a slate and the gate for each, without prices; attention in `terms` is that of somebody who left nothing unanswered.

    A person whose numbers are not finite gets no slot.

    Raises:
        UnknownStateError: somebody's tastes cannot be read.
    """
    return draw_many.draw_many(*laid_out(model, goods, terms, given, now_s))


def laid_out(
    model: Model, goods: Goods, terms: Terms, given: Sequence[Drawer], now_s: float
) -> tuple[People, Shelf, Belief, many.Terms]:
    """What the kernel takes; arguments as in `draw`."""
    return _people(given, terms.kind, now_s), *beside_people(model, goods, terms, now_s)


def beside_people(model: Model, goods: Goods, terms: Terms, now_s: float) -> tuple[Shelf, Belief, many.Terms]:
    """What the kernel takes besides; arguments as in `draw`."""
    return _shelf(model, goods), _belief(model, terms), _terms(terms, now_s)


def ranked_by(kind: PolicyKind) -> int:
    """What the kernel ranks offers by."""
    return _COLUMN.get(kind, BY_VALUE)


def _people(given: Sequence[Drawer], kind: PolicyKind, now_s: float) -> People:
    headers, entries, starts = tastes.end_to_end([one.tastes for one in given])
    sums, faded = personal.end_to_end([one.sums for one in given], now_s)
    baskets = [0, *accumulate([len(one.basket_tag_ids) for one in given])]
    choices = {id(one.eligible): one.eligible for one in given}
    places = [0, *accumulate([len(choice) for choice in choices.values()])]
    number = {name: n for n, name in enumerate(choices)}
    rank = ranked_by(kind)
    records = [
        PERSON_STRUCT.pack(
            one.key, float(one.hour % 24) if one.hour >= 0 else -1.0, one.nearness, faded[n], starts[n], starts[n + 1],
            baskets[n], baskets[n + 1], EVENLY if one.is_control else rank, number[id(one.eligible)], one.may_personalise, one.is_wet,
        )
        for n, one in enumerate(given)
    ]  # fmt: skip  # in the order of PERSON
    return People(
        np.frombuffer(b"".join(records), PERSON),
        headers,
        entries,
        np.array([tag for one in given for tag in one.basket_tag_ids], np.int64),
        sums,
        np.concatenate(list(choices.values())) if len(choices) > 1 else given[0].eligible,
        np.array(places),
    )


def _shelf(model: Model, goods: Goods) -> Shelf:
    known = model.taste_map
    return Shelf(
        goods.tags,
        goods.may_be_personal,
        goods.discounts,
        goods.of_people,
        goods.axes,
        known.companions,
        known.lifts,
        known.cycles_s,
        goods.tag_count,
    )


def _belief(model: Model, terms: Terms) -> Belief:
    variances = model.personal_variances
    precision = personal.precision_of(variances.tolist()) if len(variances) else np.zeros(0)
    worth = np.array(terms.values, np.float64)
    return Belief(model.means, model.factors, worth, model.link == "logit", REDEEM, precision)


def _terms(terms: Terms, now_s: float) -> many.Terms:
    """As `choice.of` and `draw.draw` take them; the control is floored by the operator's floor alone."""
    return many.Terms(
        now_s,
        WINDOW_S,
        max(terms.floor, terms.exploration) if terms.kind == "epsilon_greedy" else terms.floor,
        terms.exploration if terms.kind == "thompson" else 0.0,
        terms.exploration if terms.kind == "ucb" else 0.0,
        terms.is_gated,
        terms.attention_price,
        terms.gate_floor,
        not terms.can_be_negative,
        terms.slots,
        terms.per_tag_max,
    )
