"""Claim, send, settle: bounded on every side, and at most once, since a claim is committed before the first byte leaves."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import structlog

from push import addresses, campaigns, outbox
from push.channel import Channel, Message
from push.claim import Claimed, ReadyRow, claim
from push.clock import Now, goes_on
from push.decider import Journal, Sent
from push.settlement import Settlement, settlement

BATCH_ROWS: Final = 500
SETTLE_AGAIN_AFTER_S: Final = (0.2, 1.0, 5.0)
"""Together well within the lease: later the rows would be unknown."""

_LOG: Final = structlog.get_logger(area="dispatcher")


class Dispatcher:
    """Sends what is ready. Any number may run side by side.

    `paused_until` is set when the whole project must wait, and is on the clock that `dispatch` is given.
    """

    def __init__(self, pool: Any, channel: Channel, journal: Journal) -> None:
        self._pool = pool
        self._channel = channel
        self._journal = journal
        self.paused_until: datetime | None = None

    async def dispatch(self, now: Now, stop: asyncio.Event | None = None) -> int:
        """Sends all that is ready, batch by batch, each at its own instant; the number of rows that were taken.

        What has to wait is tried at its next time. Once `stop` is set no further batch is begun.
        """
        total = 0
        while goes_on(stop):
            at = await now()
            if self.paused_until is not None and at < self.paused_until:
                break
            claimed = await self._claim(at)
            if claimed.rows:
                await self._send(claimed.rows, at, now)
            total += claimed.taken
            if not claimed.taken:
                break
        return total

    async def sweep(self, now: datetime) -> None:
        """Settles what a dispatcher left behind when it died."""
        async with self._pool.acquire() as connection:
            await outbox.sweep(connection, now, datetime.now(UTC))

    async def _claim(self, now: datetime) -> Claimed:
        async with self._pool.acquire() as connection:
            return await claim(connection, now, BATCH_ROWS, datetime.now(UTC))

    async def _send(self, rows: Sequence[ReadyRow], sent_at: datetime, now: Now) -> None:
        outcomes = await self._channel.send([_message(row) for row in rows], sent_at)
        # Waits run from the answer, which may come a deadline later than the sending.
        after = settlement(list(zip(rows, outcomes, strict=True)), await now())
        self.paused_until = after.paused_until
        if after.paused_until is not None:
            _LOG.warning("sending is paused", until=after.paused_until.isoformat(), reason=after.settled[0].outcome)
        await self._settle_surely(after, sent_at)

    async def _settle_surely(self, after: Settlement, sent_at: datetime) -> None:
        """Tries again what a restart of PostgreSQL or a deadlock prevents; done twice it is done once, by the fence of each row."""
        for wait_s in SETTLE_AGAIN_AFTER_S:
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    return await self._settle(connection, after, sent_at)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
                _LOG.warning("settling is tried again", error=type(error).__name__, rows=len(after.settled))
                await asyncio.sleep(wait_s)
        async with self._pool.acquire() as connection, connection.transaction():
            return await self._settle(connection, after, sent_at)

    async def _settle(self, connection: Any, after: Settlement, sent_at: datetime) -> None:
        for name in await campaigns.pause(connection, after.faulty):
            _LOG.error(
                "a campaign is paused: its message is refused", campaign=name, reasons=list(after.faulty.values())
            )
        ours = await outbox.settle(connection, after.settled, sent_at)
        await addresses.forget(connection, after.dead, sent_at)
        await addresses.disable(connection, after.foreign, sent_at)
        # Not the instant of the answer: a push may be opened before FCM's answer has come to us.
        sent = [
            Sent(row.key.user_id, row.decision_id, row.offer_id, sent_at) for row in after.accepted if row.key in ours
        ]
        # Last, since it holds the heads of the event log until the commit.
        await self._journal.accepted(connection, sent, sent_at)


def _message(row: ReadyRow) -> Message:
    return Message(
        outbox_id=str(row.outbox_id),
        address=row.address,
        address_kind="fid" if row.address_kind == "fid" else "token",
        title=row.message["title"],
        body=row.message["body"],
        data=row.message["data"],
        collapse_id=str(row.outbox_id),
        expires_at=row.expires_at,
        image_url=row.message["image_url"],
    )
