"""Which exposure an answer belongs to, and what both add to the sums of the shared model. Pure.

An answer may be folded before its exposure: it is remembered, and counted when the exposure comes, so that both orders give the same.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from bandits.features import DIMS
from bandits.posterior import CLOSED, WINDOW_S, WINDOWS_S, Sums, cohort_of, is_closed
from schema.log import LogEntry
from service.learning.facts import Fact
from service.store.decision_features import Drawn
from service.store.exposures import Exposure, ExposureKey

CLOCK_SKEW_S: Final = 300.0
"""An answer may seem to come this long before its exposure: a phone is quicker than FCM's word to us, and its clock is its own."""

REWARD: Final = 1.0


class Attribution:
    """The exposures of one pass, and the sums it adds by (partition, cohort)."""

    def __init__(
        self, exposures: Mapping[ExposureKey, Exposure], drawn: Mapping[tuple[int, UUID], Drawn], now_s: float
    ) -> None:
        self._exposures = dict(exposures)
        self._drawn = drawn
        self._now_s = now_s
        self._of_offer: defaultdict[tuple[int, int], set[ExposureKey]] = defaultdict(set)
        for key, exposure in exposures.items():
            self._of_offer[key.user_id, exposure.offer_id].add(key)
        self.sums: dict[tuple[int, int], Sums] = {}
        self.changed: dict[ExposureKey, Exposure] = {}

    def expose(self, fact: Fact) -> Exposure | None:
        """Counts an offer that was shown; the exposure as it stands then, or None when there is nothing new to count.

        The first entry that is folded gives the instant of the exposure.
        """
        key = _key(fact)
        if key is None or (offer_id := self._offer_of(key)) is None:
            return None
        known = self._exposures.get(key)
        if known is not None and known.exposed_at is not None:
            return None
        exposed_at = fact.entry.occurred_at
        exposed_s = exposed_at.timestamp()
        self._sums_of(fact.partition, exposed_s).add_exposure(self._drawn[key[:2]].phi[key.slot], exposed_s)
        exposure = Exposure(offer_id, exposed_at)
        for head, at in enumerate(known.answered_at if known else ()):
            if at is not None:
                exposure = self._count(fact.partition, key, exposure, head, at)
        self._keep(key, exposure)
        return exposure

    def answer(self, fact: Fact, head: int) -> Exposure | None:
        """Counts a reward of its exposure; gives the exposure when this was its first answer of any head."""
        key = self._exposure_of(fact.user_id, fact.entry)
        if key is None:
            return None
        offer_id = self._offer_of(key)
        if offer_id is None and key[:2] in self._drawn:
            return None  # a slot the decision did not have
        before = self._exposures.get(key) or Exposure(offer_id or fact.entry.offer_id)
        if before.exposed_at is None:
            self._keep(key, _remembered(before, head, fact.entry.occurred_at))
            return None
        if before.answered_at[head] is not None:
            return None
        after = self._count(fact.partition, key, before, head, fact.entry.occurred_at)
        if after is before:
            return None
        self._keep(key, after)
        return None if any(before.answered_at) else after

    def _count(self, partition: int, key: ExposureKey, exposure: Exposure, head: int, at: datetime) -> Exposure:
        """The exposure with the answer when it counts, else as it was."""
        drawn = self._drawn.get(key[:2])
        if exposure.exposed_at is None or drawn is None:
            return exposure
        exposed_s = exposure.exposed_at.timestamp()
        age_s = at.timestamp() - exposed_s
        if not -CLOCK_SKEW_S <= age_s <= WINDOWS_S[head]:
            return exposure
        self._sums_of(partition, exposed_s).add_reward(head, drawn.phi[key.slot], exposed_s, max(age_s, 0.0), REWARD)
        return _answered(exposure, head, at)

    def _sums_of(self, partition: int, exposed_s: float) -> Sums:
        cohort = cohort_of(exposed_s)
        return self.sums.setdefault((partition, CLOSED if is_closed(cohort, self._now_s) else cohort), Sums(DIMS))

    def _exposure_of(self, user_id: int, entry: LogEntry) -> ExposureKey | None:
        if entry.decision_id is not None:
            return ExposureKey(user_id, entry.decision_id, entry.slot)
        return self._latest(user_id, entry.offer_id, entry.occurred_at)

    def _latest(self, user_id: int, offer_id: int, at: datetime) -> ExposureKey | None:
        """The exposure of the offer that came last before `at`, within the attribution window."""
        found = []
        for key in self._of_offer.get((user_id, offer_id), ()):
            exposed_at = self._exposures[key].exposed_at
            if exposed_at is not None and 0.0 <= (at - exposed_at).total_seconds() <= WINDOW_S:
                found.append((exposed_at, key))
        return max(found)[1] if found else None

    def _offer_of(self, key: ExposureKey) -> int | None:
        drawn = self._drawn.get(key[:2])
        return drawn.offer_ids[key.slot] if drawn is not None and key.slot < len(drawn.offer_ids) else None

    def _keep(self, key: ExposureKey, exposure: Exposure) -> None:
        self._exposures[key] = self.changed[key] = exposure
        self._of_offer[key.user_id, exposure.offer_id].add(key)


def _key(fact: Fact) -> ExposureKey | None:
    decision_id = fact.entry.decision_id
    return None if decision_id is None else ExposureKey(fact.user_id, decision_id, fact.entry.slot)


def _answered(exposure: Exposure, head: int, at: datetime) -> Exposure:
    opened_at, redeemed_at = exposure.answered_at
    return exposure._replace(answered_at=(at, redeemed_at) if head == 0 else (opened_at, at))


def _remembered(exposure: Exposure, head: int, at: datetime) -> Exposure:
    earlier = exposure.answered_at[head]
    return _answered(exposure, head, at if earlier is None else min(earlier, at))
