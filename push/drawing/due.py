"""Pushes whose moment has come: offer and gate are drawn now, in batches, under the masks of this instant."""

import asyncio
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import numpy as np

from push import due_rows
from push.campaign.campaigns import CampaignCache
from push.clock import Now, goes_on
from push.contact import contact_rules
from push.contact.contact_rules import Contact
from push.contact.just_drawn import JustDrawn
from push.decider import Decider, Drawn, Due, DueMany
from push.drawing import fan_out
from push.drawing.draft import message_of
from push.drawing.fan_out import Told
from push.drawn_rows import DrawnRows
from push.due_rows import I64, Bytes, DueRow, DueRows, Mask, instant
from push.entropy import entropies_of, entropy_by
from push.outbox import State
from push.uuids import texts_of
from schema.campaign import StoredCampaign

BATCH_ROWS: Final = 500
BACKLOG_ROWS: Final = 2000
"""Of a batch once it is known that more is due: half a second's work, and what each transaction costs besides is shared by more."""

MANY: Final = 16
"""From so many on columns cost less than objects; below, what a batch costs besides is more than what they spare."""

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
                is_all = (is_last and drawn == len(found.user_ids)) or not drawn
                looked_from |= found.last_moments()
        return total, is_all

    async def _batch(
        self, connection: Any, now: datetime, rows_max: int, looked_from: Mapping[UUID, datetime]
    ) -> tuple[DueRows, int, bool]:
        """Rows found, how many were drawn, and whether none was left."""
        people: set[int] = set()
        try:
            async with connection.transaction():
                rows = await due_rows.due(connection, now, rows_max, looked_from)
                drawn = await self._draw(connection, rows, now, people)
            return rows, drawn, rows.is_all
        finally:
            self._under_way -= people

    async def _draw(self, connection: Any, rows: DueRows, now: datetime, people: set[int]) -> int:
        """The number of rows drawn: of several for a person whose rules of contact count them the first, the others by a later batch.

        These people are told in `people`, and are under way.
        """
        by_id = await self._campaigns.of(connection, rows.campaigns)
        known = [by_id[campaign_id] for campaign_id in rows.campaigns]
        is_stopped = rows.is_stopped()
        mine = _first_of_each(rows, known, is_stopped, self._under_way, people)
        self._under_way |= people
        drawn = DrawnRows()
        for n in np.flatnonzero(is_stopped).tolist():
            reason = rows.stopped_by(n)
            drawn.add(n, State.EXPIRED if reason == "expired" else State.WITHDRAWN, reason)
        await self._draw_many(connection, rows, known, mine & ~is_stopped, drawn, now)
        mine[drawn.numbers] = False
        told = await self._draw_others(connection, rows, known, mine, drawn, now)
        await drawn.write(connection, rows, now)
        if told:
            await fan_out.tell(connection, told, now)
        return len(drawn.numbers)

    async def _draw_many(
        self,
        connection: Any,
        rows: DueRows,
        known: Sequence[StoredCampaign],
        mine: Mask,
        drawn: DrawnRows,
        now: datetime,
    ) -> None:
        """Of these rows those that are alike, into `drawn`."""
        alone = np.array([campaign.is_push_only() for campaign in known], np.bool_)
        numbers = np.flatnonzero(mine & alone[rows.campaign]) if len(known) else np.zeros(0, np.int64)
        numbers = numbers[np.sort(np.unique(rows.user_ids[numbers], return_index=True)[1])]
        if len(numbers) < MANY:
            return
        user_ids, outbox_ids = rows.user_ids[numbers], rows.outbox_ids[numbers]
        just_drawn = self._just_drawn.of_many(user_ids.tolist(), outbox_ids, now)
        entropies = self._entropies(rows, known, numbers)
        asked = DueMany(known, rows.campaign[numbers], user_ids, outbox_ids, entropies, just_drawn)
        found = await self._decider.decide_many(connection, asked, now)
        if not found.numbers:
            return
        places, nothing = numbers[found.numbers], [None] * len(found.numbers)
        states = [State.NO_SEND if message is None else State.READY for message in found.messages]
        columns = (found.reasons, found.decision_ids, found.offer_ids, found.messages, nothing)
        drawn.add_many(places.tolist(), states, *columns)
        is_counted = [_is_counted(campaign) for campaign in known]
        contact_ids = texts_of(rows.outbox_ids[places])
        at_ms = contact_rules.milliseconds(now) + 1
        for n, message, contact_id, tags in zip(places.tolist(), found.messages, contact_ids, found.tags, strict=True):
            if message is not None and is_counted[rows.campaign[n]]:
                self._just_drawn.add(int(rows.user_ids[n]), Contact(at_ms, contact_id, tags))

    async def _draw_others(
        self,
        connection: Any,
        rows: DueRows,
        known: Sequence[StoredCampaign],
        mine: Mask,
        drawn: DrawnRows,
        now: datetime,
    ) -> list[Told]:
        """Each of these rows, into `drawn`; what other channels are told."""
        if not mine.any():
            return []
        gone = await due_rows.gone(connection, rows.user_ids[mine])
        by_campaign: defaultdict[int, list[int]] = defaultdict(list)
        for n in np.flatnonzero(mine).tolist():
            if int(rows.user_ids[n]) in gone:
                drawn.add(n, State.WITHDRAWN, "person_gone")
            else:
                by_campaign[int(rows.campaign[n])].append(n)
        asked = [
            (known[place], self._due(known[place], [rows.row(n) for n in numbers], now))
            for place, numbers in by_campaign.items()
        ]
        found = await self._decider.decide(connection, asked, now)
        drawable = [(known[place], n) for place, numbers in by_campaign.items() for n in numbers]
        told = []
        for (campaign, n), one in zip(drawable, found, strict=True):
            _add(drawn, n, campaign, one)
            if one.draft is None:
                continue
            row = rows.row(n)
            if not campaign.is_push_only():
                told.append(
                    Told(
                        campaign, row.key.user_id, row.outbox_id, row.expires_at, one.decision_id, one.draft, one.slate
                    )
                )
            if _is_counted(campaign):
                contact = contact_rules.contact_at(now, str(row.outbox_id), one.draft.tags)
                self._just_drawn.add(row.key.user_id, contact)
        return told

    def _due(self, campaign: StoredCampaign, rows: Sequence[DueRow], now: datetime) -> list[Due]:
        starts = {row.key.occurrence_at for row in rows}
        entropy = {start: entropy_by(self._seed, campaign, start.replace(tzinfo=None)) for start in starts}
        just_drawn = self._just_drawn.of
        return [
            Due(user_id, start, row.outbox_id, entropy[start](user_id), just_drawn(user_id, row.outbox_id, now))
            for row in rows
            for user_id, _, start in (row.key,)
        ]

    def _entropies(self, rows: DueRows, known: Sequence[StoredCampaign], numbers: I64) -> Bytes:
        """The random bits of each, (n, 16)."""
        found = np.empty((len(numbers), 16), np.uint8)
        campaigns, occurrences = rows.campaign[numbers], rows.occurrences[numbers]
        for place, occurrence in {*zip(campaigns.tolist(), occurrences.tolist(), strict=True)}:
            some = np.flatnonzero((campaigns == place) & (occurrences == occurrence))
            start = instant(occurrence).replace(tzinfo=None)
            found[some] = entropies_of(self._seed, known[place], start, rows.user_ids[numbers[some]])
        return found


def _is_counted(campaign: StoredCampaign) -> bool:
    return contact_rules.is_counted(campaign) and "push" in campaign.campaign.channels


def _first_of_each(
    rows: DueRows, known: Sequence[StoredCampaign], is_stopped: Mask, under_way: AbstractSet[int], met: set[int]
) -> Mask:
    """Without those that have to know first what becomes of an earlier one; `met` gets the people whose pushes count."""
    first = np.ones(len(rows.user_ids), np.bool_)
    if not known:
        return first
    is_counted = np.array([_is_counted(campaign) for campaign in known], np.bool_)[rows.campaign] & ~is_stopped
    counted = np.flatnonzero(is_counted)
    for n, user_id in zip(counted.tolist(), rows.user_ids[counted].tolist(), strict=True):
        if user_id in met or user_id in under_way:
            first[n] = False
        else:
            met.add(user_id)
    return first


def _add(drawn: DrawnRows, number: int, campaign: StoredCampaign, one: Drawn) -> None:
    if one.draft is None:
        drawn.add(number, State.NO_SEND, one.reason, one.decision_id)
    elif "push" not in campaign.campaign.channels:
        drawn.add(number, State.ELSEWHERE, None, one.decision_id, one.draft.offer_id)
    else:
        reserved, message = one.draft.data.get("reservation_id"), message_of(one.draft)
        drawn.add(number, State.READY, None, one.decision_id, one.draft.offer_id, message, reserved)
