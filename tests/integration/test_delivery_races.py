"""Channels that tell of one decision at once, and people who are merged meanwhile: each crossing in the order that hurts."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from push.campaign.campaigns import CampaignCache
from push.channel import Accepted, Message, Outcome, RetryAfter, Unknown, Unregistered
from push.channels import delivery_claim
from push.channels.delivery_dispatcher import DeliveryDispatcher, Lane
from push.channels.mail import addresses
from push.channels.webhooks import endpoints
from push.channels.webhooks.channel import message_of
from push.clock import standing
from push.contact import contacts
from push.contact.contacts import RulesCache
from push.sending.claim import Known
from push.sending.dispatcher import Dispatcher
from push.sending.governor import Ungoverned
from schema.decision import Channel
from service.planning.exposure_journal import EventLogJournal
from service.store.merge import merge
from service.store.merged_state import merged
from service.store.pool import open_pool
from tests.integration import push_world
from tests.integration.push_world import NOW, FirstOffer

_WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 5) as pool:
        await push_world.people(pool, 2)
        await endpoints.make(pool, "crm", "https://crm.example.com", endpoints.new_secret(), NOW, "test")
        stored = await push_world.campaign(pool, channels=["push", "webhook"])
        await push_world.ready(pool, stored, [1, 2], FirstOffer(await push_world.offer(pool)))
        yield pool


UNREGISTERED = Unregistered()


class Answers:
    """A push channel that answers when it is told to."""

    name = account = "answers"

    def __init__(self, outcome: Outcome = UNREGISTERED) -> None:
        self.outcome = outcome
        self.is_asked, self.may_answer = asyncio.Event(), asyncio.Event()

    async def send(self, messages: list[Message], now: Any) -> list[Outcome]:
        self.is_asked.set()
        await self.may_answer.wait()
        return [self.outcome for _ in messages]


async def until_somebody_waits_for_a_lock(pool: asyncpg.Pool) -> None:
    async with asyncio.timeout(10):
        while not await pool.fetchval(_WAITING):
            await asyncio.sleep(0.01)


async def test_a_push_that_failed_stays_counted_while_another_channel_is_being_claimed(pool: asyncpg.Pool) -> None:
    """The claim has found the contact counted and relies on it; the settling must see that before it takes the contact away."""
    phones = Answers()
    sending = asyncio.create_task(Dispatcher(pool, phones, EventLogJournal()).dispatch(standing(NOW)))  # type: ignore[arg-type] # it is not opened
    await phones.is_asked.wait()
    async with pool.acquire() as claiming, claiming.transaction():
        known = Known(RulesCache(), CampaignCache())
        claimed = await delivery_claim.claim(claiming, Channel.WEBHOOK, NOW, 10, datetime.now(UTC), known)
        assert [row.was_counted for row in claimed.rows] == [True, True]
        phones.may_answer.set()
        await until_somebody_waits_for_a_lock(pool)
    await sending
    assert await push_world.states(pool) == {4: 2}
    assert await pool.fetchval("select array_agg(jsonb_array_length(sent)) from contacts") == [1, 1]


@pytest.mark.parametrize("table", ["outbox", "deliveries", "devices", "email_addresses"])
async def test_a_merge_waits_for_what_is_claimed_or_settled_before_it_takes_the_contacts(
    pool: asyncpg.Pool, table: str
) -> None:
    async with pool.acquire() as merging, pool.acquire() as sending:
        await contacts.hold(sending, [1, 2])
        await addresses.put(sending, 2, "bob@example.com", NOW)

        async def unite() -> None:
            async with merging.transaction():
                await merge(merging, 1, 2, NOW, merged)

        async with sending.transaction():
            await sending.execute(f"select 1 from {table} where user_id = 2 for update")
            task = asyncio.create_task(unite())
            await until_somebody_waits_for_a_lock(pool)
            await contacts.hold(sending, [1, 2])
        await task
    assert await pool.fetchval("select array_agg(user_id) from contacts") == [1]


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("marketing", RetryAfter(5, "message")),
        ("transactional", RetryAfter(5, "message")),
        ("transactional", Unknown("timeout")),
    ],
)
@pytest.mark.parametrize("is_swept", [False, True])
async def test_what_was_being_sent_during_a_merge_is_sent_again_to_whom_the_person_became(
    pool: asyncpg.Pool, kind: str, outcome: Outcome, *, is_swept: bool
) -> None:
    await pool.execute("delete from outbox")
    stored = await push_world.campaign(pool, kind, kind=kind)
    await push_world.ready(pool, stored, [2], FirstOffer(await push_world.offer(pool)))
    phones = Answers(outcome)
    dispatcher = Dispatcher(pool, phones, EventLogJournal())  # type: ignore[arg-type] # it is not opened
    sending = asyncio.create_task(dispatcher.dispatch(standing(NOW)))
    await phones.is_asked.wait()
    async with pool.acquire() as connection, connection.transaction():
        await merge(connection, 1, 2, NOW, merged)
    if is_swept:
        await pool.execute("update outbox set lease_until = now() - interval '1 s'")
        await dispatcher.sweep(NOW)
    phones.may_answer.set()
    await sending
    is_again = not is_swept or kind == "transactional"
    assert await push_world.states(pool) == {1 if is_again else 7: 1}
    phones.outcome = Accepted("m")
    assert await dispatcher.dispatch(standing(NOW + timedelta(minutes=5))) == is_again
    assert tuple(await pool.fetchrow("select user_id, state from outbox")) == ((1, 3) if is_again else (2, 7))


async def test_a_webhook_that_was_being_sent_during_a_merge_is_sent_again(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        known = Known(RulesCache(), CampaignCache())
        claimed = await delivery_claim.claim(connection, Channel.WEBHOOK, NOW, 10, datetime.now(UTC), known)
        async with connection.transaction():
            await merge(connection, 1, 2, NOW, merged)
        assert await pool.fetch("select 1 from deliveries where user_id = 2 and state = 2")
        dispatcher = DeliveryDispatcher(
            pool,
            Lane(Channel.WEBHOOK, Answers(), message_of, Ungoverned()),
            EventLogJournal(),  # type: ignore[arg-type] # it is not opened
        )
        async with connection.transaction():
            results = [(row, RetryAfter(5, "message")) for row in claimed.rows]
            await dispatcher._settle(connection, results, NOW, NOW)
    assert await pool.fetchval("select array_agg(user_id) from deliveries where state = 1") == [1, 1]
