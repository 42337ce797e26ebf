"""The decision pipeline as push asks for it: for many people at once, with the campaign's offers and rules."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import msgspec

from bandits.policies.incremental_draw import exploration
from push.contact import contacts
from push.contact.contact_rules import Judge, Person, Verdict
from push.contact.contacts import RulesCache
from push.contact.just_drawn import with_drawn
from push.decider import Batch, Drawn, Due
from push.drawing.draft import PRIVATE_WORDS, PrivateWords
from push.drawing.phrasebook import Phrasebook
from push.sending.claim import LEASE
from schema.campaign import Campaign, StoredCampaign, channels_of
from schema.decision import Channel, Context, Rules
from service.decision import gains, masks, pipeline, policy
from service.decision.ask import Ask
from service.decision.gains import GainAsk
from service.planning.drafter import Desk, drafter
from service.store import decision_people, effects, signing_keys
from service.store.catalogue import Catalogue, CatalogueCache
from service.store.current_effect import EffectCache
from service.store.current_policy import PolicyCache
from service.store.current_snapshot import SnapshotCache
from service.store.decision_people import DecisionPerson
from service.store.policies import InForce

_CONTEXT: Final = Context()
STORE_CHARACTERS_MAX: Final = 64
"""Of the id of a store; a trait may be any text."""


class PipelineDecider:
    """Draws offers and gates for due pushes."""

    def __init__(
        self,
        catalogue: CatalogueCache,
        snapshot: SnapshotCache,
        policy: PolicyCache,
        words: PrivateWords = PRIVATE_WORDS,
    ) -> None:
        self._catalogue = catalogue
        self._snapshot = snapshot
        self._policy = policy
        self._instead = words
        self._phrasebook = Phrasebook()
        self._key = signing_keys.feedback_key()
        self._effect = EffectCache()
        self._rules = RulesCache()

    async def decide(self, connection: Any, batch: Batch, now: datetime) -> list[Drawn]:
        """One answer for each, in order; the decisions are logged in the caller's transaction."""
        model = self._snapshot.current
        if model is None:
            raise RuntimeError("no snapshot has been loaded: nothing can be decided yet")
        people, version = await decision_people.by_id(connection, [one.user_id for _, due in batch for one in due])
        catalogue = self._catalogue.current
        if version != catalogue.version:
            catalogue = await self._catalogue.refresh(connection)
        asked = [
            (near_home(ask, people[one.user_id]), people[one.user_id])
            for campaign, due in batch
            for ask, one in zip(await self._asks(connection, campaign, due, catalogue, now), due, strict=True)
        ]
        key = await self._key.of(connection)
        decided = iter(await pipeline.decide(connection, asked, catalogue, model, now))
        desk = Desk(key, self._phrasebook, self._instead)
        return [
            drawn(one)
            for campaign, due in batch
            for drawn in (drafter(campaign.campaign, desk, now),)
            for one in islice(decided, len(due))
        ]

    async def _asks(
        self, connection: Any, campaign: StoredCampaign, due: Sequence[Due], catalogue: Catalogue, now: datetime
    ) -> list[Ask]:
        template = ask_of(campaign, candidates_of(campaign, catalogue), self._policy.current)
        gain_of = await self._gains(connection, template, due) if _counts_gain(campaign) else {}
        verdicts = await self._verdicts(connection, campaign, due, now)
        return [
            judged(template, verdict, catalogue)._replace(entropy=one.entropy, gain=gain_of.get(one.user_id))
            for one, verdict in zip(due, verdicts, strict=True)
        ]

    async def _verdicts(
        self, connection: Any, campaign: StoredCampaign, due: Sequence[Due], now: datetime
    ) -> list[Verdict]:
        """What the rules of contact say of each."""
        people, version = await contacts.people(connection, [one.user_id for one in due])
        judge = Judge(await self._rules.of_version(connection, version), now, reach=LEASE)
        return [judge.of(campaign, _counting(people[one.user_id], one)) for one in due]

    async def _gains(self, connection: Any, template: Ask, due: Sequence[Due]) -> dict[int, GainAsk]:
        """By person, what a decision by gains takes besides."""
        version, pushes, known = await self._effect.refresh(connection)
        parts = await effects.own_parts(connection, [one.user_id for one in due])
        scale = exploration(pushes, template.rules.exploration)
        return {one.user_id: GainAsk(known, version, scale, parts.get(one.user_id)) for one in due}


def _counting(person: Person, due: Due) -> Person:
    """With what is on its way out to them already."""
    return person._replace(sent=with_drawn(person.sent, due.just_drawn)) if due.just_drawn else person


def near_home(ask: Ask, person: DecisionPerson) -> Ask:
    """What a store does not give is not offered to those who go there."""
    store_id = person.store_id
    return ask if store_id is None else ask._replace(context=_context_of(store_id[:STORE_CHARACTERS_MAX]))


def judged(ask: Ask, verdict: Verdict, catalogue: Catalogue) -> Ask:
    """What the rules of contact say is a silence, or takes offers away. An inbox disturbs nobody: what else leaves is judged by its claim."""
    if not (verdict.reason or verdict.full_tags) or Channel.INBOX in (ask.channel, *ask.also):
        return ask
    return ask._replace(
        silences=(verdict.reason,) if verdict.reason else (),
        excluded=masks.carrying(catalogue, verdict.full_tags) if verdict.full_tags else (),
    )


@lru_cache(maxsize=4_096)
def _context_of(store_id: str) -> Context:
    return Context(store_id=store_id)


def _counts_gain(campaign: StoredCampaign) -> bool:
    return campaign.campaign.goal == "incremental_value"


def candidates_of(campaign: StoredCampaign, catalogue: Catalogue) -> tuple[int, ...] | None:
    """Ids of the offers this campaign may send; None for all. An offer that gives nothing of value is never pushed, nor, where the gain
    counts, one of which the margin is not known, nor by a campaign with a budget one of which the cost is not known in its currency.
    """
    is_fit = catalogue.is_redeemable
    if campaign.campaign.budget_minor is not None:
        is_fit = is_fit & catalogue.has_cost_in(campaign.campaign.currency)
    if _counts_gain(campaign):
        is_fit = is_fit & gains.is_priced(catalogue, campaign.campaign.currency)
    if not campaign.campaign.offers:
        return None if is_fit.all() else tuple(int(offer_id) for offer_id in catalogue.ids[is_fit])
    known = catalogue.index_by_external
    places = [known[name] for name in campaign.campaign.offers if name in known]
    return tuple(int(catalogue.ids[place]) for place in places if is_fit[place])


def ask_of(campaign: StoredCampaign, candidates: tuple[int, ...] | None, in_force: InForce) -> Ask:
    """What is asked for everybody alike."""
    body = campaign.campaign
    served = channels_of(body)
    rules = (
        policy.gain_rules(body.attention_price, in_force)
        if _counts_gain(campaign)
        else policy.push_rules(body.value_open, body.value_redeem, body.attention_price, in_force)
    )
    return Ask(
        placement=body.campaign_id,
        channel=served[0],
        also=served[1:],
        rules=_for_channels(rules, body, in_force),
        context=_CONTEXT,
        candidates=candidates,
        excluded=(),
        holdout_share=body.holdout_share,
        control_share=body.control_share,
        campaign_id=campaign.id,
        entropy=b"",
        is_budgeted=body.budget_minor is not None,
    )


def _for_channels(rules: Rules, campaign: Campaign, in_force: InForce) -> Rules:
    """An inbox alone takes nobody's attention; a digest is a slate, not too much of the same."""
    if campaign.channels == ["inbox"]:
        return msgspec.structs.replace(rules, is_gated=False)
    if campaign.slots > 1:
        return msgspec.structs.replace(rules, slots=campaign.slots, per_tag_max=in_force.settings.per_tag_max)
    return rules
