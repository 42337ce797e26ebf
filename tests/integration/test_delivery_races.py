"""Channels that tell of one decision at once, and people who are merged meanwhile: each crossing in the order that hurts."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from push.campaign.campaigns import CampaignCache
from push.channel import Message, Outcome, Unregistered
from push.channels import delivery_claim
from push.channels.mail import addresses
from push.channels.webhooks import endpoints
from push.clock import standing
from push.contact import contacts
from push.contact.contacts import RulesCache
from push.sending.claim import Known
from push.sending.dispatcher import Dispatcher
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


class Answers:
    """A push channel that answers when it is told to, that there is no such phone."""

    name = account = "answers"

    def __init__(self) -> None:
        self.is_asked, self.may_answer = asyncio.Event(), asyncio.Event()

    async def send(self, messages: list[Message], now: Any) -> list[Outcome]:
        self.is_asked.set()
        await self.may_answer.wait()
        return [Unregistered() for _ in messages]


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
