"""What a forecast says: people counted step by step, moments by the hour, single people by name."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from push.campaign.local_week import HOURS
from push.contact import contact_rules
from push.planning.audience import Reachable
from push.planning.funnel import Named
from push.planning.plan_rows import Planned
from schema.campaign import StoredCampaign
from schema.forecast import ForecastPerson, FunnelStep, Step
from service.decision.groups import Group, group_of
from service.store.zones import local_hour

_IN_SQL: Final[Mapping[Step, tuple[str, ...]]] = {
    "consent": ("opted_out", "no_push_consent", "no_email_consent"),
    "live_token": ("no_address",),
    "tags": ("tags",),
    "places": ("places",),
    "activity": ("activity",),
    "phone": ("platform", "language"),
}
_WHEN_DUE: Final[tuple[Step, ...]] = ("rules_of_contact", "offer")


class Sampled(NamedTuple):
    """People whose moments are drawn, those asked for by name, and the exact number of people the audience has."""

    people: list[Reachable]
    named: list[Named]
    audience: int


class Held(NamedTuple):
    """Why a planned push would be held back when it is due."""

    step: Step
    reason: str


def steps_in_sql(counts: Mapping[str | None, int]) -> Iterable[FunnelStep]:
    """The steps that the database judged, exact."""
    left = sum(counts.values())
    yield FunnelStep(step="people", left=left, left_out={})
    for step, reasons in _IN_SQL.items():
        left_out = {reason: counts[reason] for reason in reasons if reason in counts}
        left -= sum(left_out.values())
        yield FunnelStep(step=step, left=left, left_out=left_out)


class Report:
    """Counts of the sample, scaled up to the audience. `of_sample` are its planned rows, `groups` how many belong to each group."""

    def __init__(
        self, campaign: StoredCampaign, sampled: Sampled, rows: Mapping[int, Planned], held: Mapping[int, Held]
    ) -> None:
        self._campaign = campaign
        self._sampled = sampled
        self._rows = rows
        self._held = held
        self._people = {person.user_id: person for person in sampled.people}
        self._named = {one.person.user_id: one for one in sampled.named}
        self.of_sample = [row for user_id, row in rows.items() if user_id in self._people]
        self.groups = Counter(self._group(row.user_id) for row in self.of_sample)

    def scaled(self, count: int) -> int:
        """A count of the sample as one of the audience."""
        return round(count * self._sampled.audience / len(self._people)) if self._people else 0

    def steps(self) -> Iterable[FunnelStep]:
        """What comes after the audience: a moment in the window, the rules of contact then, an offer then."""
        left = len(self.of_sample)
        reason = "no_moment" if self._campaign.campaign.trigger is None else "waits_for_event"
        missing = self._sampled.audience - self.scaled(left)
        yield FunnelStep(step="moment", left=self.scaled(left), left_out={reason: missing} if missing else {})
        for step in _WHEN_DUE:
            found = Counter(
                self._held[row.user_id].reason
                for row in self.of_sample
                if row.user_id in self._held and self._held[row.user_id].step == step
            )
            left -= found.total()
            left_out = {reason: self.scaled(count) for reason, count in found.items()}
            yield FunnelStep(step=step, left=self.scaled(left), left_out=left_out)

    def hours(self) -> list[int]:
        """The planned rows by local hour of the week."""
        counted = Counter(self._hour(row) for row in self.of_sample)
        return [self.scaled(counted[hour]) for hour in range(HOURS)]

    def told(self, user_id: int, external_id: str) -> ForecastPerson:
        """One person by name."""
        named, row, held = self._named.get(user_id), self._rows.get(user_id), self._held.get(user_id)
        left_out_by = named.left_out_by if named else None
        if left_out_by is None:
            left_out_by = "no_moment" if row is None else held and held.reason
        return ForecastPerson(
            user_id=external_id,
            left_out_by=left_out_by,
            send_at=row and row.send_at,
            local_hour=None if row is None else self._hour(row),
            time_zone=self._zone(user_id),
            group=self._group(user_id),
        )

    def _group(self, user_id: int) -> Group:
        body = self._campaign.campaign
        return group_of(user_id, body.holdout_share, body.control_share)

    def _zone(self, user_id: int) -> str:
        person = self._people[user_id] if user_id in self._people else self._named[user_id].person
        return contact_rules.zone_of(self._campaign.campaign, person.time_zone)

    def _hour(self, row: Planned) -> int:
        return local_hour(row.send_at, self._zone(row.user_id))
