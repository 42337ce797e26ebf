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
from service.store.decision_rows import Row

CONTROL: Final[PolicyKind] = "uniform"


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
        reserved=(None,) * len(indices) if left is None else left.take(_taker(step), indices),
    )


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
        eligible=step.eligible.packed,
        personal=step.own_sums,
        drawn=step.logged,
    )


def _logged_send_probability(answer: Decided) -> float:
    if answer.draw is None or answer.in_holdout:
        return 0.0
    return answer.draw.send_probability
