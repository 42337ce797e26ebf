"""The decisions of due pushes for people who are asked alike, in columns from what is read of them to what is said.

Left to `PipelineDecider.decide`, one by one: who has refused something or is not found, who may get an offer that has an end, and campaigns
that have a budget or count what a push adds.
"""

from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.policies import learned_states
from bandits.policies.model import Model
from push.contact.contacts import RulesCache
from push.copy_format import EPOCH
from push.decider import NOBODY, DrawnMany, DueMany
from push.uuids import texts_of, uuid7s
from schema.campaign import StoredCampaign
from service.decision import many, many_log
from service.decision.many import Many
from service.decision.many_log import Versions
from service.planning import many_drafter
from service.planning.drafter import Desk
from service.planning.many_askings import Asker, Chosen
from service.planning.many_drafter import Shown
from service.planning.push_asks import counts_gain
from service.store import due_people
from service.store.catalogue import Catalogue, CatalogueCache
from service.store.due_people import REFUSED, DuePeople
from service.store.policies import InForce

I64 = npt.NDArray[np.int64]

_EPOCH_S: Final = int(EPOCH.timestamp())
_MICROSECONDS: Final = 1_000_000


class InForceNow(NamedTuple):
    """What a batch is decided and written with."""

    catalogue: CatalogueCache
    model: Model
    policy: InForce
    rules: RulesCache
    desk: Desk


async def decide_many(connection: Any, asked: DueMany, in_force: InForceNow, now: datetime) -> DrawnMany:
    """Decides for those who are asked alike, logs their decisions in the caller's transaction, and writes their messages."""
    is_fit = np.array([_is_fit(campaign) for campaign in asked.campaigns], np.bool_)[asked.campaign]
    if not is_fit.any():
        return NOBODY
    people, catalogue = await _people(connection, asked, is_fit, in_force)
    chosen = _chosen(asked, is_fit, people)
    if not len(chosen.numbers):
        return NOBODY
    asker = Asker(asked, catalogue, in_force.model, in_force.policy, now)
    given = _given(asked, chosen, people, *await asker.askings(connection, chosen, people, in_force.rules), now)
    found = await many.draw(given, catalogue, in_force.model, now)
    versions = Versions(in_force.model.version, catalogue.version)
    told = await many_log.log(connection, given, found, people.versions[chosen.places], versions)
    shown = Shown(
        told.shown,
        given.user_ids[told.places],
        given.decision_ids[told.places],
        texts_of(given.decision_ids[told.places]),
        found.in_control[told.places],
        [people.locales[place] for place in chosen.places[told.places].tolist()],
    )
    numbers = chosen.numbers[told.places]
    return _written(asked, numbers, shown, told.reasons, catalogue, in_force.desk, now)


async def _people(
    connection: Any, asked: DueMany, is_fit: npt.NDArray[np.bool_], in_force: InForceNow
) -> tuple[DuePeople, Catalogue]:
    """The people and the catalogue of this instant. Where all speak one language nobody's is read, which is a quarter of the reading."""
    catalogue, user_ids = in_force.catalogue.current, asked.user_ids[is_fit]
    has_templates = any(campaign.campaign.templates for campaign in asked.campaigns)
    with_locales = has_templates or _is_localised(catalogue)
    people = await due_people.read(connection, user_ids, with_locales=with_locales)
    if people.catalogue_version == catalogue.version:
        return people, catalogue
    catalogue = await in_force.catalogue.refresh(connection)
    if _is_localised(catalogue) and not with_locales:
        people = await due_people.read(connection, user_ids, with_locales=True)
    return people, catalogue


@lru_cache(maxsize=4)
def _is_localised(catalogue: Catalogue) -> bool:
    return any(stored.offer.localised for stored in catalogue.offers)


def _is_fit(campaign: StoredCampaign) -> bool:
    return not counts_gain(campaign) and campaign.campaign.budget_minor is None


def _chosen(asked: DueMany, is_fit: npt.NDArray[np.bool_], people: DuePeople) -> Chosen:
    if not len(people.user_ids):
        return Chosen(np.zeros(0, np.int64), np.zeros(0, np.int64))
    places = people.places(asked.user_ids)
    numbers = np.flatnonzero(is_fit & (places >= 0) & (people.flags[places] & REFUSED == 0))
    return Chosen(numbers, places[numbers])


def _given(
    asked: DueMany, chosen: Chosen, people: DuePeople, askings: list[many.Asking], asking: I64, now: datetime
) -> Many:
    return Many(
        askings,
        asking,
        asked.user_ids[chosen.numbers],
        uuid7s(now, asked.entropies[chosen.numbers]),
        people.joined[chosen.places] // _MICROSECONDS + _EPOCH_S,
        _at(people.tastes, chosen.places),
        _at(people.personal, chosen.places),
    )


def _at(packed: due_people.Packed, places: I64) -> learned_states.Packed:
    ends = np.cumsum(packed.sizes)
    return learned_states.Packed(packed.data, (ends - packed.sizes)[places], packed.sizes[places])


def _written(
    asked: DueMany,
    numbers: I64,
    shown: Shown,
    reasons: list[tuple[str, ...]],
    catalogue: Catalogue,
    desk: Desk,
    now: datetime,
) -> DrawnMany:
    """What is said to each, campaign by campaign."""
    messages: list[bytes | None] = [None] * len(numbers)
    campaign = asked.campaign[numbers]
    for one in np.unique(campaign).tolist():
        some = np.flatnonzero((campaign == one) & (shown.offers >= 0))
        written = many_drafter.messages(asked.campaigns[one].campaign, desk, catalogue, shown.at(some), now)
        for place, message in zip(some.tolist(), written, strict=True):
            messages[place] = message
    offers = shown.offers.tolist()
    return DrawnMany(
        numbers.tolist(),
        shown.decision_texts,
        [int(catalogue.ids[place]) if place >= 0 else None for place in offers],
        messages,
        [",".join(told) if place < 0 else None for place, told in zip(offers, reasons, strict=True)],
        [catalogue.offers[place].offer.tags if place >= 0 else () for place in offers],
    )
