"""Pushes whose moment has come: offer and gate are drawn now, in batches, under the masks of this instant."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from push import fan_out, outbox
from push.campaigns import CampaignCache
from push.clock import Now, goes_on
from push.decider import Decider, Drawn, Due
from push.draft import message_of
from push.entropy import entropy_of
from push.fan_out import Told
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
                    await self._draw(connection, rows, at)
                total += len(rows)
                if is_all:
                    break
        return total

    async def _draw(self, connection: Any, rows: Sequence[DueRow], now: datetime) -> None:
        settled = [_stopped(row) for row in rows if row.has_ended or row.is_late]
        by_campaign: defaultdict[UUID, list[DueRow]] = defaultdict(list)
        for row in rows:
            if not (row.has_ended or row.is_late):
                by_campaign[row.key.campaign_id].append(row)
        known = await self._campaigns.of(connection, by_campaign.keys())
        batch = [(known[campaign_id], mine) for campaign_id, mine in by_campaign.items()]
        asked = [(campaign, [self._due(campaign, row) for row in mine]) for campaign, mine in batch]
        drawn = await self._decider.decide(connection, asked, now) if asked else []
        drawable = [(campaign, row) for campaign, mine in batch for row in mine]
        settled += [_drawn(campaign, row, one) for (campaign, row), one in zip(drawable, drawn, strict=True)]
        if settled:
            await outbox.drawn(connection, settled, now)
        told = [
            Told(campaign, row.key.user_id, row.outbox_id, row.expires_at, one.decision_id, one.draft)
            for (campaign, row), one in zip(drawable, drawn, strict=True)
            if one.draft is not None and not campaign.is_push_only()
        ]
        if told:
            await fan_out.tell(connection, told, now)

    def _due(self, campaign: StoredCampaign, row: DueRow) -> Due:
        occurrence = row.key.occurrence_at.replace(tzinfo=None)
        entropy = entropy_of(self._seed, campaign, occurrence, row.key.user_id)
        return Due(row.key.user_id, row.key.occurrence_at, row.outbox_id, entropy)


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
