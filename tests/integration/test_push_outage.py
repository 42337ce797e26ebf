"""FCM gets slow, says 429, is not there for a while, and comes back: what phones received, and when, by the stand-in's record.

Down for four seconds, with WELLTIMED_TEST_LONG=1 for two minutes.
"""

import asyncio
import contextlib
import json
import os
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec
import pytest

from push.clock import standing
from push.drawing.due import DueDrawer
from push.fcm.channel import FcmChannel
from push.outbox import State
from push.release import release
from push.sending import endings
from push.sending.dispatcher import Dispatcher
from push.sending.governor import SharedGovernor
from service.clock import SystemClock
from service.planning.exposure_journal import EventLogJournal
from service.store.pool import open_pool
from tests.contract.stand_in_server import StandInServer
from tests.integration import push_world
from tests.integration.push_world import SEED, FirstOffer, states

LASTS = 1200  # people whose push outlives the outage
ENDS = 300  # people whose push does not
RATE_PER_S = 100.0
SLOW_S, REFUSING_S, DOWN_S = 1.5, 1.5, 120.0 if os.environ.get("WELLTIMED_TEST_LONG") else 4.0
NODES = 2
WINDOW_S = 5.0
DRAINS_S = 90.0

_LEASED_AT_FULL_RATE = """
    insert into send_rates (account, rate_per_s, free_at, leased_at, paused_until, halved_at)
    values ($1, $2, clock_timestamp(), clock_timestamp(), '-infinity', '-infinity')
"""


class Road:
    """The way to the stand-in: whoever is on it when it is cut gets a reset, and afterwards nobody listens."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._behind)
        self._writers |= {writer, back}
        await asyncio.gather(self._copy(reader, back), self._copy(there, writer))
        self._writers -= {writer, back}

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest.fixture
def server() -> Iterator[StandInServer]:
    with StandInServer() as server:
        server.app._now = SystemClock().now  # when a phone received it is what is judged
        yield server


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 8) as pool:
        yield pool


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_backlog_of_an_outage_drains_within_the_quota_and_nobody_gets_two(
    pool: asyncpg.Pool, server: StandInServer
) -> None:
    road = Road(int(server.url.rpartition(":")[2]))
    await road.open()
    begin = datetime.now(UTC)
    ends_at = begin + timedelta(seconds=SLOW_S + REFUSING_S + DOWN_S / 2)
    await fill(pool, begin, ends_at)
    stop = asyncio.Event()
    account = server.account | {"token_uri": f"{server.plain_url}/token"}
    nodes = [asyncio.create_task(node(pool, account, road.port, stop)) for _ in range(NODES)]
    server.put_faults({"mode": "slow", "delay_s": 0.5})
    await asyncio.sleep(SLOW_S)
    server.put_faults({"mode": "429", "retry_after_s": 1})
    await asyncio.sleep(REFUSING_S)
    server.put_faults()
    await road.cut()
    before = server.app.inbox.count
    await asyncio.sleep(DOWN_S)
    assert server.app.inbox.count == before, "it was down"
    await road.open()
    back_at = datetime.now(UTC)
    async with asyncio.timeout(DRAINS_S):
        while not nodes[0].done() and await pool.fetchval("select count(*) from outbox where state < 3"):
            await asyncio.sleep(0.1)
    stop.set()
    await asyncio.gather(*nodes)
    await road.cut()
    judge(server, await states(pool), ends_at, back_at)


def judge(server: StandInServer, found: dict[State, int], ends_at: datetime, back_at: datetime) -> None:
    messages = server.app.inbox.feed(0, 1_000_000).messages
    people = Counter(int(entry.address.rpartition("-")[2]) for entry in messages)
    late = [
        entry
        for entry in messages
        if entry.received_at > ends_at and msgspec.json.decode(entry.message)["notification"]["title"] == "ends"
    ]
    at_s = sorted(entry.received_at.timestamp() for entry in messages)
    busiest = max(bisect_left(at_s, at + WINDOW_S) - place for place, at in enumerate(at_s))
    received_after = sum(entry.received_at >= back_at for entry in messages)
    told = {
        "down_s": DOWN_S,
        "received": len(messages),
        "received_after": received_after,
        "busiest_per_s": busiest / WINDOW_S,
        "most_a_person": max(people.values()),
        "received_late": len(late),
        "outbox": {state.name.lower(): count for state, count in found.items()},
    }
    sys.stdout.write(json.dumps(told) + "\n")
    assert max(people.values()) == 1
    assert late == []
    assert busiest <= RATE_PER_S * WINDOW_S * 1.1
    assert received_after > LASTS / 3, "there was a backlog"
    assert found.keys() <= {State.ACCEPTED, State.EXPIRED, State.UNKNOWN}
    assert found[State.EXPIRED] > 0
    assert found[State.EXPIRED] <= ENDS
    # What was on the road when it was cut, and no more.
    assert found.get(State.UNKNOWN, 0) <= RATE_PER_S * NODES
    assert found[State.ACCEPTED] <= len(messages) <= found[State.ACCEPTED] + found.get(State.UNKNOWN, 0)


async def fill(pool: asyncpg.Pool, now: datetime, ends_at: datetime) -> None:
    """Everybody's push is ready, in no order; those that end early are no better off."""
    await push_world.people(pool, LASTS + ENDS, "phone")
    offer_id = await push_world.offer(pool)
    for title, people in (("lasts", range(1, LASTS + 1)), ("ends", range(LASTS + 1, LASTS + ENDS + 1))):
        stored = await push_world.campaign(pool, title)
        await push_world.planned(pool, stored, people, now)
        await DueDrawer(pool, FirstOffer(offer_id, title=title), SEED).draw_due(standing(now))
        if title == "ends":
            await pool.execute(
                "update outbox set send_until = $1, expires_at = $1 where campaign_id = $2", ends_at, stored.id
            )


async def node(pool: asyncpg.Pool, account: dict[str, str], port: int, stop: asyncio.Event) -> None:
    """What a worker does: sends what is ready, and expires what is not in time."""
    channel = FcmChannel(account, base_url=f"http://127.0.0.1:{port}", deadline_s=5.0)
    await channel.open()
    with contextlib.suppress(asyncpg.UniqueViolationError):
        await pool.execute(_LEASED_AT_FULL_RATE, channel.account, RATE_PER_S)
    dispatcher = Dispatcher(pool, channel, EventLogJournal(), SharedGovernor(pool, channel.account, RATE_PER_S), 2)
    while not stop.is_set():
        await dispatcher.dispatch(SystemClock().now, stop)
        async with pool.acquire() as connection:
            await release(connection, await endings.expire(connection, datetime.now(UTC)))
        await asyncio.sleep(0.05)
    await channel.close()
