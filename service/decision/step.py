"""One decision on its way through the pipeline: what is known of it after the mask, and after the draw."""

from datetime import datetime
from uuid import UUID

import numpy as np
import numpy.typing as npt

from bandits.personal import PersonalScores
from bandits.policies.draw import Draw
from bandits.policies.model import Model
from bandits.policies.scores import REDEEM
from schema.decision import DecisionInputs
from schema.ids import uuid7
from service.decision import gains, inputs, masks
from service.decision.ask import Ask, Outcome
from service.decision.groups import group_of
from service.decision.stock import Stock
from service.store import drawn_columns
from service.store.catalogue import Catalogue
from service.store.decision_people import DecisionPerson
from service.store.drawn_columns import Drawn

F32 = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


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
        self._masks: dict[int, tuple[Mask, Places, bytes]] = {}

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

    def packed(self, mask: Mask) -> bytes:
        """The mask as it is logged."""
        return self._known_mask(mask)[2]

    def places(self, mask: Mask) -> Places:
        """Where the eligible offers are."""
        return self._known_mask(mask)[1]

    def _known_mask(self, mask: Mask) -> tuple[Mask, Places, bytes]:
        found = self._masks.get(id(mask))
        if found is None:
            packed = np.packbits(mask, bitorder="little").tobytes()
            found = self._masks[id(mask)] = (mask, np.flatnonzero(mask), packed)
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
        "in_control",
        "in_holdout",
        "inputs",
        "logged",
        "mask",
        "own_sums",
        "person",
        "reasons",
        "tastes",
    )

    def __init__(
        self, ask: Ask, person: DecisionPerson, catalogue: Catalogue, now: datetime, left: Stock | None, alike: Alike
    ) -> None:
        self.ask = ask
        self.person = person
        self.decision_id: UUID = uuid7(now, ask.entropy)
        group = group_of(person.user_id, ask.holdout_share, ask.control_share)
        self.in_holdout, self.in_control = group == "holdout", group == "control"
        self.mask, self.reasons = masks.eligible(catalogue, person, ask, now)
        if left is not None and not self.reasons:
            self.mask = self.mask & left.is_left_for(person.user_id, ask.campaign_id)
            self.reasons = () if self.mask.any() else ("sold_out",)
        self.inputs = alike.of(ask, person)
        if left is not None and not self.reasons:
            self.inputs = left.priced(self.inputs, ask, self.mask)
        self.tastes = b""
        self.own_sums = b""
        self.drawn: Outcome | None = None
        self.logged = drawn_columns.NOTHING

    def holds(
        self, tastes: bytes, own_sums: bytes, phi: F32, own: PersonalScores | None, drawn: Draw, ids: Ids
    ) -> None:
        """Keeps a draw, and of what it was made what is logged; phi (offers, d) and the own part are of all offers, as are their ids."""
        self.tastes, self.own_sums = tastes, own_sums if own is not None else b""
        chosen, pmf = drawn.chosen, drawn.pmf[self.mask]
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
