"""The rate that all dispatchers share: climbing, halved, paused for all, given away once, and spread over the second."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import asyncpg
import pytest

from push.channel import Accepted, Message, Outcome, RetryAfter
from push.clock import standing
from push.fcm.channel import FcmChannel
from push.outbox import State
from push.sending.dispatcher import Dispatcher
from push.sending.governor import Lease, SharedGovernor
from service.planning.exposure_journal import EventLogJournal
from service.store.pool import open_pool
from tests.contract.stand_in_server import StandInServer
from tests.integration import push_world
from tests.integration.push_world import NOW, FirstOffer, ready, states

MAX = 6000.0


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 8) as pool:
        yield pool


async def set_row(pool: asyncpg.Pool, **columns: str) -> None:
    """Puts SQL expressions into the one row."""
    changes = ", ".join(f"{name} = {value}" for name, value in columns.items())
    await pool.execute(f"update send_rates set {changes}")


async def rate(pool: asyncpg.Pool) -> float:
    return float(await pool.fetchval("select rate_per_s from send_rates"))


async def test_it_begins_with_a_sixtieth_and_climbs_a_step_a_second(pool: asyncpg.Pool) -> None:
    governor = SharedGovernor(pool, "a", MAX)
    first = await governor.lease(500)
    assert first.rate_per_s == pytest.approx(MAX / 60, rel=0.05)
    assert first.messages == pytest.approx(first.rate_per_s / 4, abs=1)
    reached = []
    for _ in range(70):
        await set_row(pool, leased_at="clock_timestamp() - interval '1 s'", free_at="clock_timestamp()")
        reached.append((await governor.lease(500)).rate_per_s)
    assert reached[8] == pytest.approx(MAX / 6, rel=0.05)
    assert reached[57] < MAX
    assert reached[-1] == MAX


async def test_a_long_gap_between_two_leases_is_no_reason_to_jump_and_idleness_begins_anew(pool: asyncpg.Pool) -> None:
    governor = SharedGovernor(pool, "a", MAX)
    await governor.lease(1)
    await set_row(pool, rate_per_s="3000", leased_at="clock_timestamp() - interval '30 s'")
    assert (await governor.lease(1)).rate_per_s == pytest.approx(3100)
    await set_row(pool, leased_at="clock_timestamp() - interval '61 s'")
    assert (await governor.lease(1)).rate_per_s == pytest.approx(100)
    await set_row(
        pool, rate_per_s="3000", leased_at="clock_timestamp() - interval '99 s'", paused_until="clock_timestamp()"
    )
    assert (await governor.lease(1)).rate_per_s == pytest.approx(3000, rel=0.01)


async def test_many_at_once_are_given_stretches_of_time_that_do_not_overlap(pool: asyncpg.Pool) -> None:
    governors = [SharedGovernor(pool, "a", MAX) for _ in range(8)]
    await governors[0].lease(1)
    await set_row(pool, rate_per_s=str(MAX), free_at="clock_timestamp()")
    leases = [
        lease for lease in await asyncio.gather(*(governor.lease(500) for governor in governors)) if lease.messages
    ]
    ends = sorted(lease.ends_at for lease in leases if lease.ends_at is not None)
    assert len(ends) == 8
    for before, after in pairwise(ends):
        assert after - before >= timedelta(seconds=499 / MAX)
    assert max(lease.wait_s for lease in leases) > 3 * 500 / MAX


async def test_beyond_two_seconds_nothing_is_promised(pool: asyncpg.Pool) -> None:
    governor = SharedGovernor(pool, "a", MAX)
    await governor.lease(1)
    await set_row(pool, free_at="clock_timestamp() + interval '3 s'")
    assert (await governor.lease(10)).messages == 0


async def test_a_clock_that_was_set_back_or_forth_stops_nothing(pool: asyncpg.Pool) -> None:
    governor = SharedGovernor(pool, "a", MAX)
    await governor.lease(1)
    await set_row(
        pool,
        rate_per_s="3000",
        leased_at="clock_timestamp() + interval '1 h'",
        free_at="clock_timestamp() + interval '1 h'",
    )
    lease = await governor.lease(10)
    assert (lease.messages, lease.rate_per_s, lease.wait_s) == (10, 3000, 0)
    assert (await governor.lease(10)).wait_s < 1
    await set_row(pool, leased_at="clock_timestamp() - interval '1 h'", free_at="clock_timestamp() - interval '1 h'")
    assert (await governor.lease(10)).messages == 10


async def test_what_is_not_used_is_given_back_if_nobody_came_after(pool: asyncpg.Pool) -> None:
    governor = SharedGovernor(pool, "a", MAX)
    first = await governor.lease(20)
    await governor.give_back(first, 20)
    assert (await governor.lease(20)).wait_s < 0.05
    second = await governor.lease(20)
    third = await governor.lease(1)
    await governor.give_back(second, 20)
    fourth = await governor.lease(1)
    assert second.ends_at is not None
    assert third.ends_at is not None
    assert fourth.ends_at is not None
    assert second.ends_at < third.ends_at < fourth.ends_at


async def test_too_much_halves_once_and_pauses_every_node(pool: asyncpg.Pool) -> None:
    one, other = SharedGovernor(pool, "a", MAX), SharedGovernor(pool, "a", MAX)
    await one.lease(1)
    await set_row(pool, rate_per_s="3000")
    await asyncio.gather(*(node.hold_back(0.3, 1.0, is_over_quota=True) for node in (one, other, one, other)))
    assert await rate(pool) == 1500
    assert [(await node.lease(10)).messages for node in (one, other)] == [0, 0]
    await asyncio.sleep(0.35)
    assert (await other.lease(10)).messages == 10
    await one.hold_back(0.1, 0.0, is_over_quota=True)  # of messages that left after the first halving
    assert await rate(pool) < 800
    was = await rate(pool)
    await one.hold_back(0.1, 0.0, is_over_quota=False)
    assert await rate(pool) == was
    assert (await SharedGovernor(pool, "another project", MAX).lease(1)).messages == 1


async def test_who_waits_for_another_s_halving_halves_nothing(pool: asyncpg.Pool) -> None:
    governor = SharedGovernor(pool, "a", MAX)
    await governor.lease(1)
    await set_row(pool, rate_per_s="3000")
    async with asyncio.TaskGroup() as group, pool.acquire() as connection, connection.transaction():
        await connection.execute("select from send_rates for update")
        for _ in range(3):
            group.create_task(governor.hold_back(0.1, 1.0, is_over_quota=True))
        await asyncio.sleep(0.3)
    assert await rate(pool) == 1500


class Phones:
    """Takes everything, and notes when; from the `quota`-th message on it says that it is too much, once."""

    name = account = "phones"

    def __init__(self, quota: int | None = None) -> None:
        self.at: list[float] = []
        self.quota = quota

    async def send(self, messages: Sequence[Message], now: datetime) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for _ in messages:
            is_too_much = self.quota is not None and len(self.at) >= self.quota
            if not is_too_much:
                self.at.append(time.monotonic())
            outcomes.append(
                RetryAfter(0.5, "project", "slow down", is_over_quota=True) if is_too_much else Accepted("m")
            )
        return outcomes


async def many_ready(pool: asyncpg.Pool, people: int) -> None:
    await push_world.people(pool, people)
    offer_id = await push_world.offer(pool)
    await ready(pool, await push_world.campaign(pool), range(1, people + 1), FirstOffer(offer_id))


async def test_dispatchers_together_keep_to_the_rate_and_send_evenly(pool: asyncpg.Pool) -> None:
    await many_ready(pool, 400)
    phones = Phones()
    governors = [SharedGovernor(pool, "a", MAX) for _ in range(3)]
    await governors[0].lease(1)
    await set_row(pool, rate_per_s="400", free_at="clock_timestamp()")
    dispatchers = [Dispatcher(pool, phones, EventLogJournal(), governor, lanes=2) for governor in governors]  # type: ignore[arg-type] # it is not opened
    while await states(pool) != {State.ACCEPTED: 400}:
        await asyncio.gather(*(dispatcher.dispatch(standing(NOW)) for dispatcher in dispatchers))
    began = phones.at[0]
    assert phones.at[-1] - began > 0.7  # 400 at a rate that climbs from 400 to 500
    per_tenth = [sum(began + i / 10 <= at < began + (i + 1) / 10 for at in phones.at) for i in range(7)]
    assert max(per_tenth) < 80
    assert max(sum(at <= other < at + 0.02 for other in phones.at) for at in phones.at) < 40


async def test_when_it_is_too_much_the_rest_of_the_batch_does_not_leave(pool: asyncpg.Pool) -> None:
    await many_ready(pool, 200)
    phones = Phones(quota=50)
    governor = SharedGovernor(pool, "a", MAX)
    await governor.lease(1)
    await set_row(pool, rate_per_s="800", free_at="clock_timestamp()")
    dispatcher = Dispatcher(pool, phones, EventLogJournal(), governor)  # type: ignore[arg-type] # it is not opened
    taken = await dispatcher.dispatch(standing(NOW))
    assert await states(pool) == {State.ACCEPTED: 50, State.READY: 150}
    assert taken == 200
    assert await rate(pool) == pytest.approx(400, rel=0.3)
    assert (await governor.lease(10)).messages == 0
    phones.quota = None
    await asyncio.sleep(0.6)
    assert await dispatcher.dispatch(standing(NOW + timedelta(seconds=1))) == 150
    assert await states(pool) == {State.ACCEPTED: 200}


async def test_a_lease_that_is_waited_for_ends_when_told_to_stop(pool: asyncpg.Pool) -> None:
    class Late(SharedGovernor):
        async def lease(self, wanted: int) -> Lease:
            return Lease(wanted, MAX, 60.0, None)

    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, stop.set)
    dispatcher = Dispatcher(pool, Phones(), EventLogJournal(), Late(pool, "a", MAX))  # type: ignore[arg-type] # it is not opened
    assert await asyncio.wait_for(dispatcher.dispatch(standing(NOW), stop), 5) == 0


async def test_answers_that_take_longer_halve_the_rate_once_for_what_was_sent_and_pause_nobody(
    pool: asyncpg.Pool,
) -> None:
    governor = SharedGovernor(pool, "a", MAX)
    await governor.lease(1)
    await set_row(pool, rate_per_s="4000", free_at="clock_timestamp()")
    await governor.slow_down(0.5)
    await governor.slow_down(0.5)  # was sent before the halving
    assert await rate(pool) == 2000
    assert (await governor.lease(1)).messages == 1
    for _ in range(9):
        await set_row(pool, halved_at="'-infinity'")
        await governor.slow_down(0.5)
    assert await rate(pool) == MAX / 60, "never slower than a ramp begins"
    await set_row(pool, halved_at="'-infinity'", rate_per_s="5")
    await governor.slow_down(0.5)
    assert await rate(pool) == 5


async def test_a_service_that_becomes_slow_is_sent_less(pool: asyncpg.Pool) -> None:
    with StandInServer() as server:
        await many_ready(pool, 400)
        channel = FcmChannel(server.account, base_url=server.url)
        await channel.open()
        governor = SharedGovernor(pool, channel.account, 200.0)
        await governor.lease(1)
        await set_row(pool, rate_per_s="200", free_at="clock_timestamp()")
        dispatcher = Dispatcher(pool, channel, EventLogJournal(), governor)
        stop = asyncio.Event()
        sending = asyncio.create_task(dispatcher.dispatch(standing(NOW), stop))
        while server.app.inbox.count < 100:
            await asyncio.sleep(0.01)
        before = await rate(pool)
        server.put_faults({"mode": "slow", "delay_s": 1.5})
        async with asyncio.timeout(15):
            while await rate(pool) > 0.6 * before:
                await asyncio.sleep(0.02)
        stop.set()
        await sending
        await channel.close()
