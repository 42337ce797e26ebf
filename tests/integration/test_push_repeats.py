"""Attempts of which nobody knows: a marketing push ends, a transactional one is sent again and shown once."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta

import asyncpg
import pytest

from push import outbox
from push.campaign import campaigns
from push.channel import Message, Outcome, Unknown
from push.clock import standing
from push.fcm.channel import FcmChannel
from push.meter import NoMeter
from push.outbox import State
from push.release import release
from push.sending import endings
from push.sending.dispatcher import Dispatcher
from schema.campaign import StoredCampaign
from service.planning.exposure_journal import EventLogJournal
from service.store import merge
from service.store.pool import open_pool
from service.store.user_state import State as UserState
from tests.contract.stand_in_server import StandInServer
from tests.integration import push_world
from tests.integration.push_world import HOUR, NOW, FirstOffer, ready, states

MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def running() -> Iterator[StandInServer]:
    with StandInServer(slow_s=1.5, front="h2") as server:
        yield server


@pytest.fixture
def server(running: StandInServer) -> StandInServer:
    running.put_faults()
    return running


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 4) as pool:
        yield pool


@pytest.fixture
async def channel(server: StandInServer) -> AsyncIterator[FcmChannel]:
    channel = FcmChannel(server.account, base_url=server.url, ca_file=server.ca_file, deadline_s=1.0)
    await channel.open()
    yield channel
    await channel.close()


async def both(pool: asyncpg.Pool, prefix: str) -> tuple[StoredCampaign, StoredCampaign]:
    """Person 1 is to get a marketing push, person 2 a transactional one."""
    await push_world.people(pool, 2, prefix)
    offer_id = await push_world.offer(pool)
    made = [await push_world.campaign(pool, kind, kind=kind) for kind in ("marketing", "transactional")]
    for person, stored in enumerate(made, 1):
        await ready(pool, stored, [person], FirstOffer(offer_id))
    return made[0], made[1]


async def state_of(pool: asyncpg.Pool, person: int) -> State:
    return State(await pool.fetchval("select state from outbox where user_id = $1", person))


def shown(server: StandInServer, prefix: str, person: int) -> list[int]:
    """Of each banner of a person's phone how many copies came."""
    return [banner.copies for banner in server.app.inbox.banners(f"{prefix}-{person}")]


@pytest.mark.parametrize(("mode", "copies"), [("hang", 2), ("slow", 2), ("reset", 2), ("503", 1)])
async def test_what_is_not_answered_is_sent_again_if_somebody_waits_for_it(
    pool: asyncpg.Pool, server: StandInServer, channel: FcmChannel, mode: str, copies: int
) -> None:
    prefix = f"x{mode}"
    marketing, transactional = await both(pool, prefix)
    server.put_faults(*({"mode": mode, "token": f"{prefix}-{person}", "times": 1} for person in (1, 2)))
    dispatcher = Dispatcher(pool, channel, EventLogJournal())
    assert await dispatcher.dispatch(standing(NOW)) == 2
    assert (await state_of(pool, 1), await state_of(pool, 2)) == (State.UNKNOWN, State.READY)
    assert await dispatcher.dispatch(standing(NOW + MINUTE)) == 1
    assert (await state_of(pool, 1), await state_of(pool, 2)) == (State.UNKNOWN, State.ACCEPTED)
    assert shown(server, prefix, 1) == [1] * (copies - 1)
    assert shown(server, prefix, 2) == [copies], "one banner, whatever came"
    for stored, state in ((marketing, "unknown"), (transactional, "accepted")):
        async with pool.acquire() as connection:
            told = await outbox.outcomes(connection, stored.id)
        assert (told.states[state], told.unknown_attempts) == (1, 1)


async def test_a_lease_that_ended_is_sent_again_if_somebody_waits_for_it(
    pool: asyncpg.Pool, channel: FcmChannel
) -> None:
    class Counting(NoMeter):
        counted: dict[str, int] = {}  # noqa: RUF012 - one test uses it, once

        def count(self, outcomes: object) -> None:
            self.counted.update(outcomes)  # type: ignore[call-overload] # a mapping

    await both(pool, "lease")
    await pool.execute(
        "update outbox set state = 2, fence = user_id, attempts = 1, lease_until = now() - interval '1 s'"
    )
    dispatcher = Dispatcher(pool, channel, EventLogJournal(), meter=Counting())
    await dispatcher.sweep(NOW)
    assert (await state_of(pool, 1), await state_of(pool, 2)) == (State.UNKNOWN, State.READY)
    assert Counting.counted == {"lease_expired": 2}
    assert await dispatcher.dispatch(standing(NOW)) == 1
    assert await states(pool) == {State.UNKNOWN: 1, State.ACCEPTED: 1}
    for unknowns, send_until in ((9, NOW + HOUR), (0, NOW)):
        await pool.execute(
            "update outbox set state = 2, unknowns = $1, send_until = $2, lease_until = now() - interval '1 s' where user_id = 2",
            unknowns,
            send_until,
        )
        await dispatcher.sweep(NOW)
        assert await state_of(pool, 2) is State.UNKNOWN


async def lost(pool: asyncpg.Pool) -> tuple[StoredCampaign, StoredCampaign]:
    """Both were sent once, and not answered."""

    class Mute:
        name = account = "mute"

        async def send(self, messages: list[Message], now: datetime) -> list[Outcome]:
            return [Unknown("timeout")] * len(messages)

    made = await both(pool, "lost")
    await Dispatcher(pool, Mute(), EventLogJournal()).dispatch(standing(NOW))  # type: ignore[arg-type] # as much of one as is used
    assert await state_of(pool, 2) is State.READY
    return made


async def test_what_was_perhaps_sent_is_neither_withdrawn_nor_expired(pool: asyncpg.Pool, channel: FcmChannel) -> None:
    _, transactional = await lost(pool)
    await pool.execute("update users set vetoed_offer_ids = array[1]")
    await Dispatcher(pool, channel, EventLogJournal()).dispatch(standing(NOW + MINUTE))
    row = await pool.fetchrow("select state, outcome from outbox where user_id = 2")
    assert tuple(row) == (State.UNKNOWN, "vetoed")
    await pool.execute("update outbox set state = 1")
    async with pool.acquire() as connection:
        await release(connection, await endings.expire(connection, NOW + 24 * HOUR))
        assert await state_of(pool, 2) is State.UNKNOWN
        await connection.execute("update outbox set state = 1 where user_id = 2")
        await campaigns.set_status(connection, transactional.campaign.campaign_id, "ended", NOW)
        assert await state_of(pool, 2) is State.UNKNOWN


async def test_what_was_perhaps_sent_is_not_withdrawn_by_a_merge(pool: asyncpg.Pool) -> None:
    def kept(one: UserState, _: UserState) -> UserState:
        return one

    _, transactional = await lost(pool)
    await pool.execute("update outbox set campaign_id = $1", transactional.id)
    await pool.execute("update outbox set state = 1, unknowns = 1")
    async with pool.acquire() as connection, connection.transaction():
        await merge.merge(connection, 1, 2, NOW, kept)
    assert await states(pool) == {State.READY: 1, State.UNKNOWN: 1}
