"""Pushes whose moment has come: offer and gate are drawn now, in batches, under the masks of this instant."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from push import contact_rules, fan_out, outbox
from push.campaigns import CampaignCache
from push.clock import Now, goes_on
from push.decider import Decider, Drawn, Due
from push.draft import message_of
from push.entropy import entropy_of
from push.fan_out import Told
from push.just_drawn import JustDrawn
from push.outbox import DrawnRow, DueRow, State
from schema.campaign import StoredCampaign

BATCH_ROWS: Final = 500


class DueDrawer:
    """Turns planned rows into ready ones, or into silence; a crash leaves a row either planned or drawn and logged.

    The pool's commits need not wait for the disk: what a crash undoes is drawn again, and nothing has left then, since the claim
    does wait and PostgreSQL's log is flushed in order.
    """

    def __init__(self, pool: Any, decider: Decider, seed: bytes) -> None:
        self._pool = pool
        self._decider = decider
        self._seed = seed + b"offer"
        self._campaigns = CampaignCache()
        self._just_drawn = JustDrawn()

    async def draw_due(self, now: Now, stop: asyncio.Event | None = None) -> int:
        """Draws all that is due, batch by batch, each at its own instant; the number of rows drawn.

        Once `stop` is set no further batch is begun.
        """
        total = 0
        async with self._pool.acquire() as connection:
            while goes_on(stop):
                at = await now()
                async with connection.transaction():
                    rows, is_all = await outbox.due(connection, at, BATCH_ROWS)
                    drawn = await self._draw(connection, rows, at)
                total += drawn
                if is_all and drawn == len(rows):
                    break
        return total

    async def _draw(self, connection: Any, rows: Sequence[DueRow], now: datetime) -> int:
        """The number of rows drawn: of several for a person whose rules of contact count them the first, the others by a later batch."""
        known = await self._campaigns.of(connection, {row.key.campaign_id for row in rows})
        rows = _first_of_each(rows, known)
        settled = [_stopped(row) for row in rows if row.has_ended or row.is_late]
        by_campaign: defaultdict[UUID, list[DueRow]] = defaultdict(list)
        for row in rows:
            if not (row.has_ended or row.is_late):
                by_campaign[row.key.campaign_id].append(row)
        batch = [(known[campaign_id], mine) for campaign_id, mine in by_campaign.items()]
        asked = [(campaign, [self._due(campaign, row, now) for row in mine]) for campaign, mine in batch]
        drawn = await self._decider.decide(connection, asked, now) if asked else []
        drawable = [(campaign, row) for campaign, mine in batch for row in mine]
        settled += [_drawn(campaign, row, one) for (campaign, row), one in zip(drawable, drawn, strict=True)]
        if settled:
            await outbox.drawn(connection, settled, now)
        told = [
            Told(campaign, row.key.user_id, row.outbox_id, row.expires_at, one.decision_id, one.draft, one.slate)
            for (campaign, row), one in zip(drawable, drawn, strict=True)
            if one.draft is not None and not campaign.is_push_only()
        ]
        if told:
            await fan_out.tell(connection, told, now)
        for (campaign, row), one in zip(drawable, drawn, strict=True):
            if one.draft is not None and _is_counted(campaign):
                contact = contact_rules.contact_at(now, str(row.outbox_id), one.draft.tags)
                self._just_drawn.add(row.key.user_id, contact)
        return len(rows)

    def _due(self, campaign: StoredCampaign, row: DueRow, now: datetime) -> Due:
        occurrence = row.key.occurrence_at.replace(tzinfo=None)
        entropy = entropy_of(self._seed, campaign, occurrence, row.key.user_id)
        just_drawn = self._just_drawn.of(row.key.user_id, row.outbox_id, now)
        return Due(row.key.user_id, row.key.occurrence_at, row.outbox_id, entropy, just_drawn)


def _is_counted(campaign: StoredCampaign) -> bool:
    return contact_rules.is_counted(campaign) and "push" in campaign.campaign.channels


def _first_of_each(rows: Sequence[DueRow], known: Mapping[UUID, StoredCampaign]) -> list[DueRow]:
    """The rows without those that have to know first what becomes of an earlier one."""
    met: set[int] = set()
    first: list[DueRow] = []
    for row in rows:
        is_settled = row.has_ended or row.is_late
        if is_settled or not _is_counted(known[row.key.campaign_id]):
            first.append(row)
        elif row.key.user_id not in met:
            met.add(row.key.user_id)
            first.append(row)
    return first


def _stopped(row: DueRow) -> DrawnRow:
    if row.has_ended:
        return DrawnRow(row.key, State.WITHDRAWN, "campaign_ended")
    return DrawnRow(row.key, State.EXPIRED, "expired")


def _drawn(campaign: StoredCampaign, row: DueRow, drawn: Drawn) -> DrawnRow:
    if drawn.draft is None:
        return DrawnRow(row.key, State.NO_SEND, drawn.reason, drawn.decision_id)
    draft = drawn.draft
    if "push" not in campaign.campaign.channels:
        return DrawnRow(row.key, State.ELSEWHERE, None, drawn.decision_id, draft.offer_id)
    return DrawnRow(row.key, State.READY, None, drawn.decision_id, draft.offer_id, message_of(draft))
