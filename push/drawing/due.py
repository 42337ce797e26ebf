"""Pushes whose moment has come: offer and gate are drawn now, in batches, under the masks of this instant."""

import asyncio
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from push import outbox
from push.campaign.campaigns import CampaignCache
from push.clock import Now, goes_on
from push.contact import contact_rules
from push.contact.just_drawn import JustDrawn
from push.decider import Decider, Drawn, Due
from push.drawing import fan_out
from push.drawing.draft import message_of
from push.drawing.fan_out import Told
from push.entropy import entropy_by
from push.outbox import DrawnRow, DueRow, State
from schema.campaign import StoredCampaign

BATCH_ROWS: Final = 500
BACKLOG_ROWS: Final = 2000
"""Of a batch once it is known that more is due: half a second's work, and what each transaction costs besides is shared by more."""

LANES_ALONE: Final = 2
"""Of a process that draws alone, where order does not matter: PostgreSQL works for one while Python works for the other. Of several each
has one, for what lanes hold the others have to walk past.
"""


class DueDrawer:
    """Turns planned rows into ready ones, or into silence; a crash leaves a row either planned or drawn and logged.

    The pool's commits need not wait for the disk: what a crash undoes is drawn again, and nothing has left then, since the claim
    does wait and PostgreSQL's log is flushed in order.
    """

    def __init__(self, pool: Any, decider: Decider, seed: bytes, lanes: int = 1) -> None:
        self._pool = pool
        self._decider = decider
        self._seed = seed + b"offer"
        self._lanes = lanes
        self._campaigns = CampaignCache()
        self._just_drawn = JustDrawn()
        self._under_way: set[int] = set()

    async def draw_due(self, now: Now, stop: asyncio.Event | None = None) -> int:
        """Draws all that is due, batch by batch, each at its own instant; the number of rows drawn.

        Of a backlog so many batches as there are lanes are under way at once: one is read or written while another is drawn. Once
        `stop` is set no further batch is begun.
        """
        total, is_all = await self._lane(now, stop, BATCH_ROWS, batches_max=1)
        if is_all:
            return total
        # One that fails must not leave the others behind, drawing for nobody who waits.
        drawn = await asyncio.gather(
            *(self._lane(now, stop, BACKLOG_ROWS) for _ in range(self._lanes)), return_exceptions=True
        )
        for one in drawn:
            if isinstance(one, BaseException):
                raise one
        return total + sum(one[0] for one in drawn if not isinstance(one, BaseException))

    async def _lane(
        self, now: Now, stop: asyncio.Event | None, rows_max: int, batches_max: float = math.inf
    ) -> tuple[int, bool]:
        """How many rows were drawn, and whether none is left but what other lanes hold."""
        total, batches, is_all = 0, 0, False
        looked_from: dict[UUID, datetime] = {}
        async with self._pool.acquire() as connection:
            while goes_on(stop) and batches < batches_max and not is_all:
                found, drawn, is_last = await self._batch(connection, await now(), rows_max, looked_from)
                total += drawn
                batches += 1
                if looked_from and (is_last or not drawn):
                    looked_from.clear()  # once more from the beginning, for what was left out on the way
                    continue
                # What other lanes are drawing for the same people is not waited for: the rest comes next time.
                is_all = (is_last and drawn == len(found)) or not drawn
                looked_from |= {row.key.campaign_id: row.send_at for row in found}
        return total, is_all

    async def _batch(
        self, connection: Any, now: datetime, rows_max: int, looked_from: Mapping[UUID, datetime]
    ) -> tuple[list[DueRow], int, bool]:
        """Rows found, how many were drawn, and whether none was left."""
        people: set[int] = set()
        try:
            async with connection.transaction():
                rows, is_all = await outbox.due(connection, now, rows_max, looked_from)
                drawn = await self._draw(connection, rows, now, people)
            return rows, drawn, is_all
        finally:
            self._under_way -= people

    async def _draw(self, connection: Any, rows: Sequence[DueRow], now: datetime, people: set[int]) -> int:
        """The number of rows drawn: of several for a person whose rules of contact count them the first, the others by a later batch.

        These people are told in `people`, and are under way.
        """
        known = await self._campaigns.of(connection, {row.key.campaign_id for row in rows})
        rows = _first_of_each(rows, known, self._under_way, people)
        self._under_way |= people
        settled = []
        by_campaign: defaultdict[UUID, list[DueRow]] = defaultdict(list)
        for row in rows:
            if reason := row.stopped_by():
                state = State.EXPIRED if reason == "expired" else State.WITHDRAWN
                settled.append(DrawnRow(row.place, row.key.occurrence_at, state, reason))
            else:
                by_campaign[row.key.campaign_id].append(row)
        batch = [(known[campaign_id], mine) for campaign_id, mine in by_campaign.items()]
        asked = [(campaign, self._due(campaign, mine, now)) for campaign, mine in batch]
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

    def _due(self, campaign: StoredCampaign, rows: Sequence[DueRow], now: datetime) -> list[Due]:
        starts = {row.key.occurrence_at for row in rows}
        entropy = {start: entropy_by(self._seed, campaign, start.replace(tzinfo=None)) for start in starts}
        just_drawn = self._just_drawn.of
        return [
            Due(user_id, start, row.outbox_id, entropy[start](user_id), just_drawn(user_id, row.outbox_id, now))
            for row in rows
            for user_id, _, start in (row.key,)
        ]


def _is_counted(campaign: StoredCampaign) -> bool:
    return contact_rules.is_counted(campaign) and "push" in campaign.campaign.channels


def _first_of_each(
    rows: Sequence[DueRow], known: Mapping[UUID, StoredCampaign], under_way: AbstractSet[int], met: set[int]
) -> list[DueRow]:
    """The rows without those that have to know first what becomes of an earlier one; `met` gets the people whose pushes count."""
    first: list[DueRow] = []
    for row in rows:
        user_id = row.key.user_id
        if row.stopped_by() or not _is_counted(known[row.key.campaign_id]):
            first.append(row)
        elif user_id not in met and user_id not in under_way:
            met.add(user_id)
            first.append(row)
    return first


def _drawn(campaign: StoredCampaign, row: DueRow, drawn: Drawn) -> DrawnRow:
    if drawn.draft is None:
        return DrawnRow(row.place, row.key.occurrence_at, State.NO_SEND, drawn.reason, drawn.decision_id)
    draft = drawn.draft
    if "push" not in campaign.campaign.channels:
        return DrawnRow(row.place, row.key.occurrence_at, State.ELSEWHERE, None, drawn.decision_id, draft.offer_id)
    reserved, ready = draft.data.get("reservation_id"), (State.READY, None, drawn.decision_id, draft.offer_id)
    return DrawnRow(row.place, row.key.occurrence_at, *ready, message_of(draft), reserved)
