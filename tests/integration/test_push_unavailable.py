"""FCM that says 503, or nothing at all: what was on the road is unknown, the rest is not thrown after it."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import asyncpg
import pytest

from push import retry
from push.clock import standing
from push.fcm.channel import FcmChannel
from push.outbox import State
from push.sending.dispatcher import BATCH_ROWS, Dispatcher
from push.sending.governor import SharedGovernor
from service.planning.exposure_journal import EventLogJournal
from service.store.pool import open_pool
from tests.contract.stand_in_server import StandInServer
from tests.integration import push_world
from tests.integration.push_world import NOW, FirstOffer, states

RATE_PER_S = 400.0
MADE = """
    insert into send_rates (account, rate_per_s, free_at, leased_at, paused_until, halved_at)
    values ($1, $2, clock_timestamp(), clock_timestamp(), '-infinity', '-infinity')
"""


@pytest.fixture(scope="module")
def server() -> Iterator[StandInServer]:
    with StandInServer(front="h2") as server:
        yield server


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 4) as pool:
        yield pool


@pytest.fixture
async def channel(server: StandInServer) -> AsyncIterator[FcmChannel]:
    channel = FcmChannel(server.account, base_url=server.url, ca_file=server.ca_file, deadline_s=3.0)
    await channel.open()
    yield channel
    await channel.close()


async def ready(pool: asyncpg.Pool, people: int) -> None:
    await push_world.people(pool, people)
    offer_id = await push_world.offer(pool)
    await push_world.ready(pool, await push_world.campaign(pool), range(1, people + 1), FirstOffer(offer_id))


async def test_who_is_unavailable_and_asks_to_wait_is_obeyed_on_every_node(
    pool: asyncpg.Pool, server: StandInServer, channel: FcmChannel
) -> None:
    await ready(pool, 300)
    await pool.execute(MADE, channel.account, RATE_PER_S)
    server.put_faults({"mode": "503", "retry_after_s": 30})
    governor = SharedGovernor(pool, channel.account, RATE_PER_S)
    dispatcher = Dispatcher(pool, channel, EventLogJournal(), governor)
    taken = await dispatcher.dispatch(standing(NOW))
    assert taken <= RATE_PER_S / 4, "one lease, and no more"
    assert dispatcher.paused_until == NOW + timedelta(seconds=30)
    assert (await governor.lease(10)).messages == 0, "no other node sends either"
    found = await states(pool)
    assert found.keys() == {State.READY, State.UNKNOWN}
    assert 0 < found[State.UNKNOWN] <= taken
    server.put_faults()
    await pool.execute("update send_rates set paused_until = '-infinity'")
    assert await dispatcher.dispatch(standing(NOW + timedelta(seconds=29))) == 0
    assert await dispatcher.dispatch(standing(NOW + timedelta(seconds=30))) == found[State.READY]
    assert await states(pool) == {State.UNKNOWN: found[State.UNKNOWN], State.ACCEPTED: found[State.READY]}


@pytest.mark.parametrize("mode", ["503", "hang", "reset"])
async def test_who_answers_nothing_gets_one_batch_and_then_less(
    pool: asyncpg.Pool, server: StandInServer, channel: FcmChannel, mode: str
) -> None:
    await ready(pool, BATCH_ROWS + 100)

    class Slows(SharedGovernor):
        slowed = 0

        async def slow_down(self, age_s: float) -> None:
            self.slowed += 1

    governor = Slows(pool, channel.account, 1e6)
    await pool.execute(MADE, channel.account, 1e6)
    server.put_faults({"mode": mode})
    dispatcher = Dispatcher(pool, channel, EventLogJournal(), governor)
    assert await dispatcher.dispatch(standing(NOW)) == BATCH_ROWS
    assert await states(pool) == {State.READY: 100, State.UNKNOWN: BATCH_ROWS}
    assert (dispatcher.paused_until, governor.slowed) == (NOW + retry.UNSENT, 1)
