"""Which offers are eligible for a person at an instant: everything that removes an offer does it here, before the pmf."""

from datetime import date, datetime

import numpy as np
import numpy.typing as npt

from schema.decision import Channel, Context
from service.decision.ask import Ask
from service.store.catalogue import Catalogue
from service.store.decision_people import DecisionPerson

Mask = npt.NDArray[np.bool_]


def eligible(catalogue: Catalogue, person: DecisionPerson, ask: Ask, now: datetime) -> tuple[Mask, tuple[str, ...]]:
    """The mask (offers,) and, when it is empty because of the person and not of the offers, the reason codes."""
    reasons = silences(person, ask.channel, now)
    if reasons:
        return np.zeros(len(catalogue.ids), np.bool_), reasons
    mask = on_offer(catalogue, ask.channel, now)
    mask &= catalogue.min_age <= (age(person.birth_date, now) if person.birth_date else 0)
    if ask.candidates is not None:
        mask &= np.isin(catalogue.ids, ask.candidates)
    for index in removed_by_person(catalogue, person, ask, now):
        mask[index] = False
    for index in closed_in_store(catalogue, ask.context):
        mask[index] = False
    return mask, () if mask.any() else ("no_eligible_offer",)


def silences(person: DecisionPerson, channel: Channel, now: datetime) -> tuple[str, ...]:
    """Why this person is to be left in peace on this channel, whatever the offers."""
    reasons = []
    if person.opted_out_at is not None:
        reasons.append("opted_out")
    if channel is Channel.PUSH and not person.has_push_consent:
        reasons.append("no_push_consent")
    if person.muted_until is not None and person.muted_until > now:
        reasons.append("muted")
    return tuple(reasons)


def on_offer(catalogue: Catalogue, channel: Channel, now: datetime) -> Mask:
    """Offers that run now, on this channel, for anybody."""
    instant = now.timestamp()
    running: Mask = (catalogue.starts_at <= instant) & (instant < catalogue.ends_at) & ~catalogue.is_paused
    running &= (catalogue.channels >> channel & 1) == 1
    return running


def removed_by_person(catalogue: Catalogue, person: DecisionPerson, ask: Ask, now: datetime) -> list[int]:
    """Positions of the offers this person has vetoed, put off, or the app has excluded."""
    snoozed = [
        offer_id for offer_id, until in zip(person.snoozed_offer_ids, person.snoozed_until, strict=True) if until > now
    ]
    known = catalogue.index_by_id
    return [known[offer_id] for offer_id in (*person.vetoed_offer_ids, *snoozed, *ask.excluded) if offer_id in known]


def closed_in_store(catalogue: Catalogue, context: Context) -> list[int]:
    """Positions of the offers that do not hold in the store the person is in; in an unknown store only offers without store_ids hold."""
    closed = []
    for index in catalogue.store_bound:
        offer = catalogue.offers[index].offer
        inside = context.store_id in offer.store_ids if offer.store_ids else True
        if not inside or context.store_id in offer.exclude_store_ids:
            closed.append(index)
    return closed


def age(birth_date: date, now: datetime) -> int:
    """Full years at the instant `now`."""
    today = now.date()
    return today.year - birth_date.year - ((today.month, today.day) < (birth_date.month, birth_date.day))
