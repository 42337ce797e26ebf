"""Lease, claim, send, settle: bounded on every side, and at most once, since a claim is committed before the first byte leaves."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from push import outbox, settling
from push.campaign import campaigns
from push.campaign.campaigns import CampaignCache
from push.channel import Channel, Message, RetryAfter
from push.clock import Now, goes_on, pause
from push.contact import contacts
from push.contact.contacts import RulesCache
from push.decider import Journal, Sent
from push.meter import Meter, NoMeter, is_mostly_ours, tally
from push.release import UNTOLD, release
from push.sending import addresses, endings, pacing, rehoming
from push.sending.claim import LEASE, Claimed, Known, ReadyRow, claim
from push.sending.governor import Governor, Lease, Ungoverned
from push.sending.latency import Latency
from push.sending.pause import Pause
from push.sending.settlement import Result, Settlement, settlement

BATCH_ROWS: Final = 500

_LOG: Final = structlog.get_logger(area="dispatcher")


class Dispatcher:
    """Sends what is ready. Any number may run side by side.

    `paused_until` is set when the whole project must wait, and is on the clock that `dispatch` is given. Of `lanes` batches under way at
    once, each goes its own way from claim to settling; with one the order of everything is fixed, as a virtual world needs it.
    """

    def __init__(
        self,
        pool: Any,
        channel: Channel,
        journal: Journal,
        governor: Governor | None = None,
        lanes: int = 1,
        meter: Meter | None = None,
    ) -> None:
        self._pool = pool
        self._channel = channel
        self._journal = journal
        self._governor = Ungoverned() if governor is None else governor
        self._lanes = lanes
        self._meter = NoMeter() if meter is None else meter
        self._known = Known(RulesCache(), CampaignCache())
        self._latency = Latency()
        self._pause = Pause()

    @property
    def paused_until(self) -> datetime | None:
        """The end of the newest pause."""
        return self._pause.until

    async def dispatch(self, now: Now, stop: asyncio.Event | None = None) -> int:
        """Sends all that is ready, batch by batch, each at its own instant; the number of rows that were taken.

        What has to wait is tried at its next time. Once `stop` is set no further batch is begun.
        """
        lanes = [self._lane(now, stop) for _ in range(self._lanes)]
        # One that fails must not leave the others behind, with rows that nobody settles.
        totals = await asyncio.gather(*lanes, return_exceptions=True)
        for total in totals:
            if isinstance(total, BaseException):
                raise total
        return sum(total for total in totals if isinstance(total, int))

    async def _lane(self, now: Now, stop: asyncio.Event | None) -> int:
        total = 0
        while goes_on(stop):
            at = await now()
            if self._pause.holds(at):
                break
            lease = await self._governor.lease(BATCH_ROWS)
            if not lease.messages:
                break
            if lease.wait_s > 0:
                await pause(lease.wait_s, stop)
                if not goes_on(stop):
                    break
                at = await now()
            ours = pacing.Lease.of(LEASE)
            claimed = await self._claim(at, lease.messages)
            await self._governor.give_back(lease, lease.messages - len(claimed.rows))
            if claimed.rows:
                await self._send(claimed.rows, at, now, lease, ours)
            total += claimed.taken
            # Beside others a lane goes on while there is anything: what is drawn meanwhile must not wait for the slowest of them.
            if not claimed.taken or (claimed.is_all and self._lanes == 1):
                break
        return total

    async def sweep(self, now: datetime) -> None:
        """Settles what a dispatcher left behind when it died."""
        async with self._pool.acquire() as connection, connection.transaction():
            swept = await endings.sweep(connection, now, datetime.now(UTC))
        if swept:
            self._meter.count({"lease_expired": swept})

    async def _claim(self, now: datetime, rows_max: int) -> Claimed:
        async with self._pool.acquire() as connection:
            return await claim(connection, now, rows_max, datetime.now(UTC), self._known)

    async def _send(
        self, rows: Sequence[ReadyRow], sent_at: datetime, now: Now, lease: Lease, ours: pacing.Lease
    ) -> None:
        began = time.monotonic()
        going = [row for row in rows if row.platform not in lease.stopped]
        messages = [_message(row) for row in going]
        outcomes, waited_s = await pacing.send_spread(self._channel, messages, sent_at, lease.rate_per_s, ours)
        self._meter.rate(lease.rate_per_s)
        results: list[Result] = list(zip(going, outcomes, strict=True))
        results += [(row, _held(lease.stopped[row.platform])) for row in rows if row.platform in lease.stopped]
        # Waits run from the answer, which may come a deadline later than the sending.
        at = await now()
        after = settlement(results, at)
        if after.paused_until is not None:
            reason = next((one.outcome for one in after.settled if one.retry_at is not None), None)
            _LOG.warning("sending is paused", until=after.paused_until.isoformat(), reason=reason)
            self._pause.begin(at, after.paused_until)
        await settling.surely(self._pool, len(after.settled), lambda held: self._settle(held, after, sent_at))
        self._tell(after, tally(outcomes))
        await self._heed(after, time.monotonic() - began)
        if after.is_unanswered or (after.accepted and self._latency.is_risen(waited_s)):
            await self._governor.slow_down(time.monotonic() - began)

    async def _heed(self, after: Settlement, age_s: float) -> None:
        """What the service said of more than these messages holds for all dispatchers."""
        if after.asked_to_wait_s:
            await self._governor.hold_back(after.asked_to_wait_s, age_s, is_over_quota=after.is_over_quota)
        for platform, seconds in after.stopped.items():
            await self._governor.stop(platform, seconds)

    def _tell(self, after: Settlement, counts: Counter[str]) -> None:
        self._meter.count(counts)
        if counts["third_party_auth_error"]:
            _LOG.error(
                "no phone of this kind can be reached: mend the project's APNs key", platforms=list(after.stopped)
            )
            self._meter.alarm("third_party_auth_error")
        if counts["not_let_in"]:
            self._meter.alarm("credentials")
        if not is_mostly_ours(counts):
            self._meter.alarm("sender_id_mismatch")
        if after.faulty:
            self._meter.alarm("campaign_paused")

    async def _settle(self, connection: Any, after: Settlement, sent_at: datetime) -> None:
        for name in await campaigns.pause(connection, after.faulty, sent_at):
            _LOG.error(
                "a campaign is paused: its message is refused", campaign=name, reasons=list(after.faulty.values())
            )
        ours = await outbox.settle(connection, after.settled, sent_at)
        await rehoming.follow(connection, [one.key.user_id for one in after.settled if one.retry_at is not None])
        # In this order, as a merge of people locks them: devices, contacts, promises.
        await addresses.forget(connection, after.dead, sent_at)
        await addresses.disable(connection, after.foreign, sent_at)
        await contacts.give_back(connection, [place for fence, place in after.unsent if fence in ours])
        await release(connection, [one.key for one in after.settled if one.state in UNTOLD and one.fence in ours])
        # Not the instant of the answer: a push may be opened before FCM's answer has come to us.
        sent = [
            Sent(row.key.user_id, row.decision_id, row.offer_id, sent_at) for row in after.accepted if row.fence in ours
        ]
        # Last, since it holds the heads of the event log until the commit.
        await self._journal.accepted(connection, sent, sent_at)


def _held(seconds: float) -> RetryAfter:
    return RetryAfter(seconds, "platform", "its platform is stopped: THIRD_PARTY_AUTH_ERROR")


def _message(row: ReadyRow) -> Message:
    outbox_id = str(row.outbox_id)
    return Message(
        outbox_id=outbox_id,
        address=row.address,
        address_kind="fid" if row.address_kind == "fid" else "token",
        title=row.message["title"],
        body=row.message["body"],
        data=row.message["data"],
        collapse_id=outbox_id,
        expires_at=row.expires_at if row.quiet_from is None else min(row.expires_at, row.quiet_from),
        image_url=row.message["image_url"],
        analytics_label=row.message.get("label"),
        buttons=tuple(row.message.get("buttons", ())),
        is_private=row.message.get("private", False),
    )
