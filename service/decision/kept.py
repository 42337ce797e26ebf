"""What becomes of a step that has been drawn: the answer, and what is logged of it."""

from datetime import datetime
from typing import Final, NamedTuple

from bandits.policies.model import Model
from schema.decision import Action
from schema.policy import PolicyKind
from service.decision.ask import Decided
from service.decision.step import Step
from service.decision.stock import Stock, Taker
from service.store.catalogue import Catalogue
from service.store.decision_rows import Row, Shared

CONTROL: Final[PolicyKind] = "uniform"

_OFFER, _NO_SEND = Action.OFFER, Action.NO_SEND  # to name a member of an Enum takes longer than what is done with it


class Kept(NamedTuple):
    """An answer and what is logged of it."""

    decided: Decided
    row: Row


def of_step(step: Step, catalogue: Catalogue, model: Model, now: datetime, left: Stock | None) -> Kept:
    """Of a step that was drawn, or has nothing to draw from; what is shown of `left` is taken from it."""
    answer = _answer(step, catalogue, model, now, left)
    return Kept(answer, _row(step, answer))


def _answer(step: Step, catalogue: Catalogue, model: Model, now: datetime, left: Stock | None) -> Decided:
    indices, reasons = _shown(step)
    return Decided(
        step.decision_id,
        step.person,
        catalogue,
        indices,
        step.drawn,
        step.in_holdout,
        step.in_control,
        CONTROL if step.in_control else step.ask.rules.policy,
        model.version,
        reasons,
        now,
        (None,) * len(indices) if left is None else left.take(_taker(step), indices),
    )  # by place: twenty names cost more than what is made of them


def _taker(step: Step) -> Taker:
    return Taker(step.person.user_id, step.decision_id, step.ask)


def _shown(step: Step) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """What is shown of what was drawn, and why nothing is."""
    if step.drawn is None:
        return (), step.reasons
    if step.in_holdout:
        return (), ("holdout",)
    if not step.drawn.is_sent:
        return (), ("gate",)
    return tuple(step.drawn.chosen), ("control",) if step.in_control else ()


def _row(step: Step, answer: Decided) -> Row:
    ask = step.ask
    versions = (answer.snapshot_version, answer.catalogue.version)
    shared = Shared(ask.channel, *versions, ask.campaign_id, ask.placement, answer.policy, answer.reason_codes)
    return Row(
        step.person.user_id,
        step.decision_id,
        step.person.version,
        _OFFER if answer.offer_indices else _NO_SEND,
        step.in_holdout,
        step.in_control,
        False,
        0.0 if step.drawn is None or step.in_holdout else step.drawn.send_probability,
        shared,
        step.inputs,
        step.tastes,
        step.eligible.packed,
        step.own_sums,
        step.logged,
    )
