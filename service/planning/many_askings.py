"""How many due people are asked: whoever differs in nothing that an offer, a mask or a rule looks at is asked the same, and that is made once."""

from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.policies.model import Model
from push.contact import contacts
from push.contact.contact_rules import Judge, Person, Verdict
from push.contact.contacts import RulesCache
from push.decider import DueMany
from push.sending.claim import LEASE
from schema.campaign import StoredCampaign
from service.decision import masks
from service.decision.ask import Ask
from service.decision.many import Asking
from service.decision.step import Alike
from service.planning.push_asks import ask_of, candidates_of, counting, judged, near_home
from service.store.catalogue import Catalogue
from service.store.decision_people import DecisionPerson
from service.store.due_people import OWN_RULES, PERSONALIZATION_CONSENT, PUSH_CONSENT, DuePeople, birthday
from service.store.policies import InForce

I64 = npt.NDArray[np.int64]

_Key = tuple[int, int, str | None, str | None, int, Verdict | None]
"""Campaign, consents, zone, store, age, and a verdict of their own."""


class Chosen(NamedTuple):
    """Those who are decided for: their numbers among the due, and their places among the people, (n,) each."""

    numbers: I64
    places: I64


class Asker:
    """Of one batch."""

    def __init__(self, asked: DueMany, catalogue: Catalogue, model: Model, policy: InForce, now: datetime) -> None:
        self._asked = asked
        self._catalogue = catalogue
        self._policy = policy
        self._now = now
        self._alike = Alike(catalogue, model, now)
        self._templates: dict[int, Ask] = {}
        self._ages: dict[int, int] = {}

    async def askings(
        self, connection: Any, chosen: Chosen, people: DuePeople, rules: RulesCache
    ) -> tuple[list[Asking], I64]:
        """What is asked, and for each of the chosen which of it."""
        judge = Judge(await rules.of_version(connection, people.rules_version), self._now, reach=LEASE)
        verdicts = await self._own_verdicts(connection, chosen, people, judge)
        consents = people.flags & (PUSH_CONSENT | PERSONALIZATION_CONSENT)
        campaigns = self._asked.campaign[chosen.numbers].tolist()
        made: list[Asking] = []
        known: dict[_Key, int] = {}
        asking = np.empty(len(campaigns), np.int64)
        for n, (campaign, place) in enumerate(zip(campaigns, chosen.places.tolist(), strict=True)):
            age = self._age(people.births[place]) if self._catalogue.has_age_limits else 0
            key = (campaign, int(consents[place]), people.zones[place], people.stores[place], age, verdicts.get(n))
            number = known.get(key)
            if number is None:
                number = known[key] = len(made)
                made.append(self._made(key, people.births[place], judge))
            asking[n] = number
        return made, asking

    async def _own_verdicts(
        self, connection: Any, chosen: Chosen, people: DuePeople, judge: Judge
    ) -> dict[int, Verdict]:
        """What the rules of contact say of those of whom they may say something else than of others of their zone."""
        just_drawn, user_ids = self._asked.just_drawn, self._asked.user_ids
        has_rules = people.flags[chosen.places] & OWN_RULES != 0
        some = [
            n
            for n, number in enumerate(chosen.numbers.tolist())
            if has_rules[n] or (just_drawn and number in just_drawn)
        ]
        if not some:
            return {}
        found, _ = await contacts.people(connection, user_ids[chosen.numbers[some]].tolist())
        verdicts = {}
        for n in some:
            number = int(chosen.numbers[n])
            person = counting(found[int(user_ids[number])], just_drawn.get(number, ()))
            verdicts[n] = judge.of(self._campaign(int(self._asked.campaign[number])), person)
        return verdicts

    def _made(self, key: _Key, birth: int, judge: Judge) -> Asking:
        campaign, consents, zone, store, _, verdict = key
        person = DecisionPerson(
            user_id=0,
            version=0,
            time_zone=zone,
            birth_date=birthday(birth),
            has_push_consent=bool(consents & PUSH_CONSENT),
            has_personalization_consent=bool(consents & PERSONALIZATION_CONSENT),
            opted_out_at=None,
            muted_until=None,
            vetoed_offer_ids=[],
            snoozed_offer_ids=[],
            snoozed_until=[],
            feedback_applied_through=None,
            created_at=self._now,
            tastes=None,
            store_id=store,
        )
        if verdict is None:
            verdict = judge.of(self._campaign(campaign), Person(zone, (), None, None, []))
        ask = near_home(judged(self._template(campaign), verdict, self._catalogue), person)
        return Asking(ask, *masks.eligible(self._catalogue, person, ask, self._now), self._alike.of(ask, person))

    def _template(self, campaign: int) -> Ask:
        found = self._templates.get(campaign)
        if found is None:
            stored = self._campaign(campaign)
            found = self._templates[campaign] = ask_of(stored, candidates_of(stored, self._catalogue), self._policy)
        return found

    def _campaign(self, campaign: int) -> StoredCampaign:
        return self._asked.campaigns[campaign]

    def _age(self, birth: int) -> int:
        found = self._ages.get(birth)
        if found is None:
            found = self._ages[birth] = masks.age(birthday(birth), self._now)
        return found
