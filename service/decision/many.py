"""Decisions for many people who are asked alike, a column at a time from their states to the log; each is what `pipeline.decide` makes of it.

What needs something made for a person alone is left to the pipeline: an offer that has an end, a state that cannot be read, a number that is
not finite. Nothing here has a budget or a goal of its own.
"""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.kernels import random
from bandits.kernels.many import Draws
from bandits.policies import draw_many_people, learned_states
from bandits.policies.draw_many_people import Drawers
from bandits.policies.learned_states import LearnedStates, Packed
from bandits.policies.model import Model
from schema.decision import DecisionInputs
from service.decision import groups, inputs, together
from service.decision.ask import Ask
from service.decision.eligible import Eligible
from service.decision.pipeline import terms_of
from service.store import drawn_columns
from service.store.catalogue import Catalogue
from service.store.drawn_columns import Drawn

I64 = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

CALL: Final = 256
"""People of one call of the kernel: some five milliseconds, while nothing else of the process is done."""


class Asking(NamedTuple):
    """What is asked for many alike, which offers are eligible, and what enters besides; `reasons` say why nothing is drawn at all."""

    ask: Ask
    eligible: Eligible
    reasons: tuple[str, ...]
    inputs: DecisionInputs


class Many(NamedTuple):
    """For whom, (n,) each: `asking` points into `askings`; decision_ids (n, 16); joined_s in seconds since 1970, at least 1."""

    askings: Sequence[Asking]
    asking: I64
    user_ids: I64
    decision_ids: npt.NDArray[np.uint8]
    joined_s: I64
    tastes: Packed
    personal: Packed


class Outcomes(NamedTuple):
    """(n,) each: False in `is_decided` who is left to the pipeline; the offer drawn by its place in the catalogue, -1 where none was; the
    probability of sending and whether it is; `drawn` is what the log keeps of the draw.
    """

    known: LearnedStates
    is_decided: Flags
    in_holdout: Flags
    in_control: Flags
    has_own: Flags
    chosen: I64
    send: npt.NDArray[np.float64]
    is_sent: Flags
    drawn: list[bytes]


async def draw(many: Many, catalogue: Catalogue, model: Model, now: datetime) -> Outcomes:
    """Draws for all who have something to draw from."""
    drawers, in_holdout = _drawers(many, catalogue, model, now)
    is_silent, count = _are(many, [bool(one.reasons) for one in many.askings]), len(many.user_ids)
    found = Outcomes(
        drawers.known,
        is_silent.copy(),
        in_holdout,
        drawers.is_control,
        drawers.may_personalise & ~is_silent & bool(len(model.personal_variances)),
        np.full(count, -1),
        np.zeros(count),
        np.zeros(count, np.bool_),
        [drawn_columns.NOTHING] * count,
    )
    goods, now_s = together.goods.of(catalogue, model), now.timestamp()
    has_end = _are(many, [one.eligible.has_limits for one in many.askings])
    for some in _calls(many, drawers.known.is_readable & ~is_silent & ~has_end):
        terms = terms_of(many.askings[many.asking[some[0]]].inputs, b"", in_control=False)
        _keep(found, draw_many_people.draw(model, goods, terms, drawers, some, now_s), some, drawers, catalogue)
        await asyncio.sleep(0)
    return found


def _drawers(many: Many, catalogue: Catalogue, model: Model, now: datetime) -> tuple[Drawers, Flags]:
    """For whom may be drawn, and who of them is in the holdout."""
    may_personalise = _are(many, [one.inputs.may_personalise for one in many.askings])
    relevant, personal = inputs.of_catalogue(catalogue).is_relevant_tag, many.personal
    if not len(model.personal_variances):
        personal = personal._replace(sizes=np.zeros_like(personal.sizes))
    known = learned_states.for_decisions(
        many.tastes, personal, may_personalise, relevant, many.joined_s, now.timestamp()
    )
    in_holdout, in_control = _groups(many)
    hours = np.array([one.inputs.local_hour for one in many.askings], np.int64)[many.asking]
    choices = [one.eligible.places for one in many.askings]
    keys = random.keys_from_bytes(many.decision_ids)
    return Drawers(known, may_personalise, hours, in_control, many.asking, choices, keys), in_holdout


def _are(many: Many, values: Sequence[bool]) -> Flags:
    """What holds of what each is asked."""
    return np.array(values, np.bool_)[many.asking]


def _groups(many: Many) -> tuple[Flags, Flags]:
    """Who is in the holdout, and who in the control."""
    shares = [(one.ask.holdout_share, one.ask.control_share) for one in many.askings]
    in_holdout, in_control = np.zeros((2, len(many.user_ids)), np.bool_)
    for pair in {*shares}:
        some = np.flatnonzero(_are(many, [one == pair for one in shares]))
        in_holdout[some], in_control[some] = groups.groups_of(many.user_ids[some], *pair)
    return in_holdout, in_control


def _calls(many: Many, is_open: Flags) -> Iterator[I64]:
    """The places of those who are drawn for by one call: under the same rules."""
    rules = [id(one.ask.rules) for one in many.askings]
    for of_rules in dict.fromkeys(rules):
        some = np.flatnonzero(is_open & _are(many, [one == of_rules for one in rules]))
        yield from (some[begin : begin + CALL] for begin in range(0, len(some), CALL))


def _keep(found: Outcomes, draws: Draws, some: I64, drawers: Drawers, catalogue: Catalogue) -> None:
    eligible = np.array([len(places) for places in drawers.choices])[drawers.choice[some]]
    kinds = 2 * draws.filled + found.has_own[some]
    for kind in np.unique(kinds).tolist():
        slots, has_own = divmod(kind, 2)
        if not slots:
            continue
        mine = np.flatnonzero(kinds == kind)
        chosen, numbers = draws.chosen[mine, :slots], (draws.propensity[mine, :slots], draws.pmf[mine])
        own = (draws.z[mine, :slots], draws.offset[mine, :slots]) if has_own else (None, None)
        logged = drawn_columns.encoded(
            Drawn(
                catalogue.ids[chosen],
                *numbers,
                eligible[mine].tolist(),
                draws.phi[mine, :slots],
                draws.predictions[mine, :slots],
                *own,
            )
        )
        places = some[mine]
        found.is_decided[places], found.chosen[places] = True, chosen[:, 0]
        found.send[places], found.is_sent[places] = draws.send[mine], draws.is_sent[mine]
        for place, one in zip(places.tolist(), logged, strict=True):
            found.drawn[place] = one
