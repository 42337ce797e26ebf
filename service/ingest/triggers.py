"""Campaigns that events set off: what an event brings is planned in the event's own transaction, and what brings nothing costs nothing."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from push import triggered, triggers
from push.contact import contacts
from push.planning import audience
from push.triggers import Armed, Happening, Triggered
from schema.contact_rules import ContactRules
from schema.event import CODES
from service import telemetry
from service.store.event_rows import StoredEvent


class Triggers:
    """The campaigns that wait for events, as this process read them last: at the latest after a second a new one is among them."""

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._armed: dict[int, list[Armed]] = {}
        self._rules = ContactRules()

    async def refresh(self, connection: Any) -> None:
        """Reads them anew, and the rules of contact if there are any."""
        armed: defaultdict[int, list[Armed]] = defaultdict(list)
        for one in await triggered.armed(connection):
            armed[CODES[one.trigger.event_type]].append(one)
        if armed:
            self._rules = (await contacts.read(connection)).rules
        self._armed = dict(armed)

    async def react(self, connection: Any, events: Sequence[StoredEvent]) -> None:
        """Plans what new events bring, in the transaction that has written them; none of their people can be merged away meanwhile.

        Who may be reached is looked up for events that fit a trigger alone.
        """
        if not self._armed:
            return
        hits: dict[UUID, tuple[Armed, list[Happening]]] = {}
        for event in events:
            for armed in self._armed.get(event.type, ()):
                if triggers.fires(armed, happening := _happening(event)):
                    hits.setdefault(armed.campaign.id, (armed, []))[1].append(happening)
        rows = [row for armed, happenings in hits.values() for row in await self._rows(connection, armed, happenings)]
        telemetry.TRIGGERED.inc(await triggered.plan(connection, rows))

    async def _rows(self, connection: Any, armed: Armed, happenings: Sequence[Happening]) -> list[Triggered]:
        now = max(one.received_at for one in happenings)
        user_ids = {one.user_id for one in happenings}
        campaign = armed.campaign
        people = await audience.among(
            connection, campaign.campaign.audience, now, user_ids, reach=audience.reach_of(campaign.campaign)
        )
        first: dict[int, Triggered] = {}
        for one in happenings:
            person = people.get(one.user_id)
            row = triggers.planned(armed, one, person, self._seed, self._rules) if person else None
            if row is not None:  # of several at once the first counts
                first.setdefault(one.user_id, row)
        return list(first.values())


def _happening(event: StoredEvent) -> Happening:
    return Happening(event.user_id, event.type, event.occurred_at, event.received_at, event.offer_id, event.properties)
