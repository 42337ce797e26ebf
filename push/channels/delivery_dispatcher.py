"""Claim, send, settle, for one channel besides push: a lane of its own, so that no channel waits for another."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import structlog

from push import retry, settling
from push.campaign.campaigns import CampaignCache
from push.channel import Accepted, Channel, Message, NotProcessed, Outcome, Rejected, RetryAfter, Unknown, Unregistered
from push.channels import deliveries
from push.channels.delivery_claim import Claimed, Delivery, claim
from push.channels.delivery_settlement import settled
from push.channels.mail import addresses
from push.channels.webhooks import endpoints
from push.channels.webhooks.channel import GONE
from push.clock import Now, goes_on, pause
from push.contact import contacts
from push.contact.contacts import RulesCache
from push.decider import Journal, Sent
from push.meter import EXPIRED, Meter, NoMeter, tally
from push.sending import rehoming
from push.sending.claim import Known
from push.sending.governor import Governor
from push.sending.pause import Pause
from schema import decision

BATCH_ROWS: Final = 200

_LOG: Final = structlog.get_logger(area="deliveries")

_Result = tuple[Delivery, Outcome]


class Lane(NamedTuple):
    """One channel and what is its own: what it says of a delivery, and who limits its rate."""

    kind: decision.Channel
    channel: Channel
    message_of: Callable[[Delivery], Message]
    governor: Governor


class DeliveryDispatcher:
    """Sends what is ready on one channel. Any number may run side by side.

    `paused_until` is set when all of the channel must wait, and is on the clock that `dispatch` is given.
    """

    def __init__(self, pool: Any, lane: Lane, journal: Journal, meter: Meter | None = None) -> None:
        self._pool = pool
        self._kind = lane.kind
        self.channel = lane.channel
        self._message_of = lane.message_of
        self._governor = lane.governor
        self._journal = journal
        self._meter = NoMeter() if meter is None else meter
        self._pause = Pause()
        self._known = Known(RulesCache(), CampaignCache())

    @property
    def paused_until(self) -> datetime | None:
        """The end of the newest pause."""
        return self._pause.until

    def work(self, now: Now, stop: asyncio.Event) -> Callable[[datetime], Awaitable[int]]:
        """`dispatch` as a loop calls it."""

        async def deliver(_: datetime) -> int:
            return await self.dispatch(now, stop)

        return deliver

    async def dispatch(self, now: Now, stop: asyncio.Event | None = None) -> int:
        """Sends all that is ready, batch by batch, each at its own instant; the number of rows that were taken."""
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
            claimed = await self._claim(at, lease.messages)
            await self._governor.give_back(lease, lease.messages - len(claimed.rows))
            if not claimed.taken:
                break
            total += claimed.taken
            if claimed.rows:
                await self._send(claimed.rows, at, now)
        return total

    async def _claim(self, now: datetime, rows_max: int) -> Claimed:
        async with self._pool.acquire() as connection:
            return await claim(connection, self._kind, now, rows_max, datetime.now(UTC), self._known)

    async def _send(self, rows: Sequence[Delivery], sent_at: datetime, now: Now) -> None:
        outcomes = await self.channel.send([self._message_of(row) for row in rows], sent_at)
        results: list[_Result] = list(zip(rows, outcomes, strict=True))
        settled_at = await now()
        await settling.surely(self._pool, len(results), lambda held: self._settle(held, results, sent_at, settled_at))
        if self._kind is decision.Channel.EMAIL and (wait_s := _wait_s(outcomes)) > 0:
            _LOG.warning("e-mail is paused", seconds=wait_s, reason=repr(outcomes[0]))
            self._pause.begin(settled_at, settled_at + timedelta(seconds=wait_s))
        self._meter.count({f"{self.channel.name}_{word}": count for word, count in tally(outcomes).items()})

    async def _settle(self, connection: Any, results: Sequence[_Result], sent_at: datetime, now: datetime) -> None:
        is_webhook = self._kind is decision.Channel.WEBHOOK
        given = [settled(row, outcome, now, is_known_again=is_webhook) for row, outcome in results]
        ours = await deliveries.settle(connection, given, now)
        await rehoming.follow(connection, [one.user_id for one in given if one.retry_at is not None])
        if is_webhook:
            await _heed(connection, results, now)
        else:
            dead = [(row.user_id, row.address) for row, outcome in results if isinstance(outcome, Unregistered)]
            await addresses.forget(connection, dead, sent_at)
        await contacts.give_back(connection, _unsent(results, ours))
        sent = [
            Sent(row.user_id, row.decision_id, row.offer_ids[slot], sent_at, slot)
            for row, outcome in results
            if isinstance(outcome, Accepted) and row.fence in ours
            for slot in row.told
        ]
        # Last, since it holds the heads of the event log until the commit.
        await self._journal.accepted(connection, sent, sent_at)


def _unsent(results: Sequence[_Result], ours: set[int]) -> list[tuple[int, Any]]:
    """Of whom it is certain that nobody got it; whether a push of the same decision was counted too is not asked, it stays counted."""
    return [
        (row.user_id, row.outbox_id)
        for row, outcome in results
        if row.fence in ours and row.is_counted_alone and not isinstance(outcome, Accepted | Unknown)
    ]


async def _heed(connection: Any, results: Sequence[_Result], now: datetime) -> None:
    """What a batch tells of its endpoints."""
    taken = {row.endpoint for row, outcome in results if isinstance(outcome, Accepted)}
    failed: dict[str, float] = {}
    gone = set()
    for row, outcome in results:
        if isinstance(outcome, Rejected) and outcome.code == GONE:
            gone.add(row.endpoint)
        elif row.endpoint not in taken and _is_failure(outcome):
            asked_s = outcome.seconds if isinstance(outcome, RetryAfter) else 0.0
            failed[row.endpoint] = max(failed.get(row.endpoint, 0.0), asked_s)
    if gone:
        _LOG.error("webhooks are paused: their receivers say that they are gone", webhooks=sorted(gone))
    await endpoints.heed(connection, taken, failed, gone, now)


def _wait_s(outcomes: Sequence[Outcome]) -> float:
    """How long nothing should be tried: as long as the server asked, or a little when nobody answers."""
    asked_s = max(
        (one.seconds for one in outcomes if isinstance(one, RetryAfter) and one.scope == "project"), default=0.0
    )
    is_deaf = all(isinstance(one, NotProcessed) and one.reason != EXPIRED for one in outcomes)
    return max(asked_s, retry.UNSENT.total_seconds() if is_deaf else 0.0)


def _is_failure(outcome: Outcome) -> bool:
    if isinstance(outcome, NotProcessed):
        return outcome.reason != EXPIRED
    return not isinstance(outcome, Accepted)
