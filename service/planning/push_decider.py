"""The decision pipeline as push asks for it: for many people at once, with the campaign's offers and rules."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from push.decider import Drawn, Due
from push.draft import draft_of
from schema.campaign import StoredCampaign
from schema.decision import Channel, Context
from service.decision import pipeline, policy
from service.decision.ask import Ask, Decided
from service.store import decision_people
from service.store.catalogue import Catalogue, CatalogueCache
from service.store.current_policy import PolicyCache
from service.store.current_snapshot import SnapshotCache
from service.store.policies import InForce

_CONTEXT: Final = Context()


class PipelineDecider:
    """Draws offers and gates for due pushes."""

    def __init__(self, catalogue: CatalogueCache, snapshot: SnapshotCache, policy: PolicyCache) -> None:
        self._catalogue = catalogue
        self._snapshot = snapshot
        self._policy = policy

    async def decide(self, connection: Any, campaign: StoredCampaign, due: Sequence[Due], now: datetime) -> list[Drawn]:
        """One answer for each, in order; the decisions are logged in the caller's transaction."""
        model = self._snapshot.current
        if model is None:
            raise RuntimeError("no snapshot has been loaded: nothing can be decided yet")
        people, version = await decision_people.by_id(connection, [one.user_id for one in due])
        catalogue = self._catalogue.current
        if version != catalogue.version:
            catalogue = await self._catalogue.refresh(connection)
        candidates = _candidates(campaign, catalogue)
        asked = [(_ask(campaign, one, candidates, self._policy.current), people[one.user_id]) for one in due]
        return [_drawn(decided) for decided in await pipeline.decide(connection, asked, catalogue, model, now)]


def _candidates(campaign: StoredCampaign, catalogue: Catalogue) -> tuple[int, ...] | None:
    """Ids of the offers this campaign may send; None for all. An offer that gives nothing of value is never pushed."""
    if not campaign.campaign.offers:
        every = bool(catalogue.is_redeemable.all())
        return None if every else tuple(int(offer_id) for offer_id in catalogue.ids[catalogue.is_redeemable])
    known = catalogue.index_by_external
    places = [known[name] for name in campaign.campaign.offers if name in known]
    return tuple(int(catalogue.ids[place]) for place in places if catalogue.is_redeemable[place])


def _ask(campaign: StoredCampaign, due: Due, candidates: tuple[int, ...] | None, in_force: InForce) -> Ask:
    body = campaign.campaign
    return Ask(
        placement=body.campaign_id,
        channel=Channel.PUSH,
        rules=policy.push_rules(body.value_open, body.value_redeem, body.attention_price, in_force),
        context=_CONTEXT,
        candidates=candidates,
        excluded=(),
        holdout_share=body.holdout_share,
        control_share=body.control_share,
        campaign_id=campaign.id,
        entropy=due.entropy,
    )


def _drawn(decided: Decided) -> Drawn:
    if not decided.offer_indices:
        return Drawn(decided.decision_id, None, ",".join(decided.reason_codes))
    stored = decided.catalogue.offers[decided.offer_indices[0]]
    return Drawn(decided.decision_id, draft_of(stored.offer, stored.id, decided.decision_id), "")
