"""One decision on its way through the pipeline: what is known of it after the mask, and after the draw."""

from datetime import datetime
from uuid import UUID

import numpy as np
import numpy.typing as npt

from bandits.personal import PersonalScores
from bandits.policies.draw import Draw
from bandits.policies.model import Model
from bandits.policies.scores import REDEEM
from push.uuids import uuid7
from schema.decision import DecisionInputs
from service.decision import eligible, gains, inputs, masks
from service.decision.ask import Ask, Outcome
from service.decision.groups import group_of
from service.decision.stock import Stock
from service.store import drawn_columns
from service.store.catalogue import Catalogue
from service.store.decision_people import DecisionPerson
from service.store.drawn_columns import Drawn

F32 = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]


class Alike:
    """The inputs of a batch: those of many people differ in nothing but the hour, and are one object.

    The asks must outlive it: rules and contexts are known by where they lie.
    """

    def __init__(self, catalogue: Catalogue, model: Model, now: datetime) -> None:
        self._catalogue = catalogue
        self._dispersion = float(model.dispersions[REDEEM])
        self._now = now
        self._hours: dict[str | None, int] = {}
        self._known: dict[tuple[int, int, int, bool], DecisionInputs] = {}

    def of(self, ask: Ask, person: DecisionPerson) -> DecisionInputs:
        """What enters the decision besides the person and the snapshot."""
        context, is_known = ask.context, person.has_personalization_consent
        if ask.gain is not None or context.basket_tags or context.local_time is not None:
            return self._made(ask, inputs.local_hour_of(person.time_zone, context, self._now), is_known=is_known)
        hour = self._hours.get(person.time_zone)
        if hour is None:
            hour = self._hours[person.time_zone] = inputs.local_hour_of(person.time_zone, context, self._now)
        key = (id(ask.rules), id(context), hour, is_known)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._made(ask, hour, is_known=is_known)
        return found

    def _made(self, ask: Ask, hour: int, *, is_known: bool) -> DecisionInputs:
        return DecisionInputs(
            rules=ask.rules,
            context=inputs.kept(ask.context),
            local_hour=hour,
            may_personalise=is_known,
            basket_tag_ids=inputs.basket_tag_ids(self._catalogue, ask.context) if is_known else [],
            dispersion=self._dispersion,
            decided_at=self._now,
            gain=gains.logged(ask.gain, may_personalise=is_known),
        )


class Step:
    """One decision; `logged` is what the log keeps of its draw (service.store.drawn_columns)."""

    __slots__ = (
        "ask",
        "decision_id",
        "drawn",
        "eligible",
        "in_control",
        "in_holdout",
        "inputs",
        "logged",
        "own_sums",
        "person",
        "reasons",
        "tastes",
    )

    def __init__(self, ask: Ask, person: DecisionPerson, catalogue: Catalogue, now: datetime, alike: Alike) -> None:
        self.ask = ask
        self.person = person
        self.decision_id: UUID = uuid7(now, ask.entropy)
        group = group_of(person.user_id, ask.holdout_share, ask.control_share)
        self.in_holdout, self.in_control = group == "holdout", group == "control"
        self.eligible, self.reasons = masks.eligible(catalogue, person, ask, now)
        self.inputs = alike.of(ask, person)
        self.tastes = b""
        self.own_sums = b""
        self.drawn: Outcome | None = None
        self.logged = drawn_columns.NOTHING

    @property
    def has_end(self) -> bool:
        """Whether anything that may be drawn has a limit, or is paid for by a budget."""
        return not self.reasons and (self.eligible.has_limits or self.ask.is_budgeted)

    def leave(self, left: Stock, catalogue: Catalogue) -> None:
        """Leaves of the eligible offers those that are left, at their price."""
        if self.reasons:
            return
        mask = self.eligible.mask & left.is_left_for(self.person.user_id, self.ask.campaign_id)
        self.eligible = eligible.of(catalogue, mask)
        if len(self.eligible.places):
            self.inputs = left.priced(self.inputs, self.ask, mask)
        else:
            self.reasons = ("sold_out",)

    def holds(
        self, tastes: bytes, own_sums: bytes, phi: F32, own: PersonalScores | None, drawn: Draw, ids: Ids
    ) -> None:
        """Keeps a draw, and of what it was made what is logged; phi (offers, d) and the own part are of all offers, as are their ids."""
        self.tastes, self.own_sums = tastes, own_sums if own is not None else b""
        chosen, pmf = drawn.chosen, drawn.pmf[self.eligible.places]
        self.drawn = Outcome(chosen.tolist(), drawn.propensities.tolist(), pmf, drawn.send_probability, drawn.is_sent)
        z, offsets = (None, None) if own is None else (own.z[chosen][None], drawn.personal_offsets[None])
        numbers = Drawn(
            ids[chosen][None],
            drawn.propensities[None],
            pmf[None],
            [len(pmf)],
            phi[chosen][None],
            drawn.predictions[None],
            z,
            offsets,
        )
        (self.logged,) = drawn_columns.encoded(numbers)
