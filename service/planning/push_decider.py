"""The decision pipeline as push asks for it: for many people at once, with the campaign's offers and rules."""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from msgspec.structs import replace

from bandits.policies.incremental_draw import exploration
from push.contact import contacts
from push.contact.contact_rules import Judge, Verdict
from push.contact.contacts import RulesCache
from push.decider import Batch, Drawn, DrawnMany, Due, DueMany
from push.drawing.draft import PRIVATE_WORDS, PrivateWords
from push.drawing.phrasebook import Phrasebook
from push.sending.claim import LEASE
from schema.campaign import StoredCampaign
from service.decision import pipeline
from service.decision.ask import Ask
from service.decision.gains import GainAsk
from service.planning.drafter import Desk, drafter
from service.planning.many_decider import InForceNow, decide_many
from service.planning.push_asks import ask_of, candidates_of, counting, counts_gain, judged, near_home
from service.store import decision_people, effects, signing_keys
from service.store.catalogue import Catalogue, CatalogueCache
from service.store.current_effect import EffectCache
from service.store.current_policy import PolicyCache
from service.store.current_snapshot import SnapshotCache


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

    async def decide_many(self, connection: Any, asked: DueMany, now: datetime) -> DrawnMany:
        """Who is asked alike; logged in the caller's transaction."""
        desk = Desk(await self._key.of(connection), self._phrasebook, self._instead)
        model = self._snapshot.current
        if model is None:
            raise RuntimeError("no snapshot has been loaded: nothing can be decided yet")
        in_force = InForceNow(self._catalogue, model, self._policy.current, self._rules, desk)
        return await decide_many(connection, asked, in_force, now)

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
        gain_of = await self._gains(connection, template, due) if counts_gain(campaign) else {}
        verdicts = await self._verdicts(connection, campaign, due, now)
        return [
            replace(judged(template, verdict, catalogue), entropy=one.entropy, gain=gain_of.get(one.user_id))
            for one, verdict in zip(due, verdicts, strict=True)
        ]

    async def _verdicts(
        self, connection: Any, campaign: StoredCampaign, due: Sequence[Due], now: datetime
    ) -> list[Verdict]:
        """What the rules of contact say of each."""
        people, version = await contacts.people(connection, [one.user_id for one in due])
        judge = Judge(await self._rules.of_version(connection, version), now, reach=LEASE)
        return [judge.of(campaign, counting(people[one.user_id], one.just_drawn)) for one in due]

    async def _gains(self, connection: Any, template: Ask, due: Sequence[Due]) -> dict[int, GainAsk]:
        """By person, what a decision by gains takes besides."""
        version, pushes, known = await self._effect.refresh(connection)
        parts = await effects.own_parts(connection, [one.user_id for one in due])
        scale = exploration(pushes, template.rules.exploration)
        return {one.user_id: GainAsk(known, version, scale, parts.get(one.user_id)) for one in due}
