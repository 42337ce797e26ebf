"""What a campaign's pushes ask of the decision pipeline: what is alike for all, and what a person's store and the rules of contact make of it."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec
from msgspec.structs import replace

from push.contact.contact_rules import Contact, Person, Verdict
from push.contact.just_drawn import with_drawn
from schema.campaign import Campaign, StoredCampaign, channels_of
from schema.decision import Channel, Context, Rules
from service.decision import gains, masks, policy
from service.decision.ask import Ask
from service.store.catalogue import Catalogue
from service.store.decision_people import DecisionPerson
from service.store.policies import InForce

_CONTEXT: Final = Context()
STORE_CHARACTERS_MAX: Final = 64
"""Of the id of a store; a trait may be any text."""


def counting(person: Person, just_drawn: Sequence[Contact]) -> Person:
    """With what is on its way out to them already."""
    return person._replace(sent=with_drawn(person.sent, just_drawn)) if just_drawn else person


def near_home(ask: Ask, person: DecisionPerson) -> Ask:
    """What a store does not give is not offered to those who go there."""
    store_id = person.store_id
    return ask if store_id is None else replace(ask, context=_context_of(store_id[:STORE_CHARACTERS_MAX]))


def judged(ask: Ask, verdict: Verdict, catalogue: Catalogue) -> Ask:
    """What the rules of contact say is a silence, or takes offers away. An inbox disturbs nobody: what else leaves is judged by its claim."""
    if not (verdict.reason or verdict.full_tags) or Channel.INBOX in (ask.channel, *ask.also):
        return ask
    return replace(
        ask,
        silences=(verdict.reason,) if verdict.reason else (),
        excluded=masks.carrying(catalogue, verdict.full_tags) if verdict.full_tags else (),
    )


@lru_cache(maxsize=4_096)
def _context_of(store_id: str) -> Context:
    return Context(store_id=store_id)


def counts_gain(campaign: StoredCampaign) -> bool:
    """Whether the campaign's goal is what a push adds."""
    return campaign.campaign.goal == "incremental_value"


def candidates_of(campaign: StoredCampaign, catalogue: Catalogue) -> tuple[int, ...] | None:
    """Ids of the offers this campaign may send; None for all. An offer that gives nothing of value is never pushed, nor, where the gain
    counts, one of which the margin is not known, nor by a campaign with a budget one of which the cost is not known in its currency.
    """
    is_fit = catalogue.is_redeemable
    if campaign.campaign.budget_minor is not None:
        is_fit = is_fit & catalogue.has_cost_in(campaign.campaign.currency)
    if counts_gain(campaign):
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
        if counts_gain(campaign)
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
