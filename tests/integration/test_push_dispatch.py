"""From a planned row to a phone: real PostgreSQL, the real FCM channel, the stand-in over HTTP."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from push import outbox
from push.campaign import campaigns
from push.campaign.campaigns import CampaignCache
from push.clock import standing
from push.contact.contacts import RulesCache
from push.drawing import due
from push.drawing.due import DueDrawer
from push.fcm.channel import FcmChannel
from push.outbox import State
from push.sending import claim, endings
from push.sending.dispatcher import Dispatcher
from push.sending.governor import SharedGovernor
from schema.event import EventType
from schema.ids import instant_of
from schema.log import DECODER
from service.planning.exposure_journal import EventLogJournal
from service.store import offers
from service.store.pool import open_pool
from tests.contract.stand_in_server import StandInServer
from tests.integration import push_world
from tests.integration.push_world import HOUR, NOW, SEED, FirstOffer, ready, states

LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def server() -> Iterator[StandInServer]:
    with StandInServer() as server:
        server.now = NOW
        yield server


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 8) as pool:
        yield pool


@pytest.fixture
async def channel(server: StandInServer) -> AsyncIterator[FcmChannel]:
    channel = FcmChannel(server.account, base_url=server.url)
    await channel.open()
    yield channel
    await channel.close()


@pytest.fixture
def dispatcher(pool: asyncpg.Pool, channel: FcmChannel) -> Dispatcher:
    return Dispatcher(pool, channel, EventLogJournal())


async def world(pool: asyncpg.Pool, people: int, prefix: str = "ok", **changes: Any) -> Any:
    """People, an offer, a campaign and ready rows for all."""
    await push_world.people(pool, people, prefix)
    offer_id = await push_world.offer(pool)
    stored = await push_world.campaign(pool, **changes)
    await ready(pool, stored, range(1, people + 1), FirstOffer(offer_id))
    return stored


async def addressed(pool: asyncpg.Pool, user_id: int, address: str) -> None:
    await pool.execute("update devices set address = $2 where user_id = $1", user_id, address)


async def exposures(pool: asyncpg.Pool) -> list[Any]:
    rows = await pool.fetch("select body from event_log order by partition, seq")
    return [entry for row in rows for entry in DECODER.decode(row[0])]


async def outcomes(pool: asyncpg.Pool) -> dict[int, tuple[State, str]]:
    rows = await pool.fetch("select user_id, state, outcome from outbox")
    return {row[0]: (State(row[1]), row[2]) for row in rows}


async def test_a_due_push_is_drawn_logged_sent_and_told(
    pool: asyncpg.Pool, server: StandInServer, dispatcher: Dispatcher
) -> None:
    await push_world.people(pool, 3)
    offer_id = await push_world.offer(pool)
    stored = await push_world.campaign(pool)
    await push_world.planned(pool, stored, [1, 2, 3])
    drawer = DueDrawer(pool, FirstOffer(offer_id, silent=[2]), SEED)
    assert await drawer.draw_due(standing(NOW - timedelta(seconds=1))) == 0
    assert await drawer.draw_due(standing(NOW)) == 3
    assert await drawer.draw_due(standing(NOW)) == 0
    assert await states(pool) == {State.READY: 2, State.NO_SEND: 1}
    assert await pool.fetchval("select count(*) from decisions") == 3
    assert await dispatcher.dispatch(standing(NOW)) == 2
    assert await dispatcher.dispatch(standing(NOW)) == 0
    assert await states(pool) == {State.ACCEPTED: 2, State.NO_SEND: 1}
    (received,) = server.get("/inbox/ok-1")["messages"]
    entry = (await exposures(pool))[0]
    logged = await pool.fetch("select user_id, decision_id from outbox where state = 3 order by user_id")
    assert received["entry"]["message"]["data"] == {"decision_id": str(logged[0]["decision_id"])}
    assert {(one.user_id, one.decision_id) for one in await exposures(pool)} == {tuple(row) for row in logged}
    assert (entry.type, entry.offer_id, entry.occurred_at) == (EventType.ACCEPTED, offer_id, NOW)
    assert instant_of(entry.event_id) == NOW
    assert server.get("/inbox/ok-2")["messages"] == []
    assert await push_world.open_count(pool, NOW) == 0


async def test_four_dispatchers_send_each_of_two_thousand_rows_once(
    pool: asyncpg.Pool, server: StandInServer, channel: FcmChannel
) -> None:
    await world(pool, 2000)
    dispatchers = [Dispatcher(pool, channel, EventLogJournal()) for _ in range(4)]
    taken = await asyncio.gather(*(one.dispatch(standing(NOW)) for one in dispatchers))
    assert sum(taken) == 2000
    assert await states(pool) == {State.ACCEPTED: 2000}
    received = server.get("/inbox?after=0&limit=5000")["messages"]
    assert len({entry["address"] for entry in received}) == len(received) == server.app.posts == 2000
    told = await exposures(pool)
    assert len({entry.decision_id for entry in told}) == len(told) == 2000


async def test_several_drawers_draw_each_row_once(pool: asyncpg.Pool) -> None:
    await push_world.people(pool, 1200)
    offer_id = await push_world.offer(pool)
    await push_world.planned(pool, await push_world.campaign(pool), range(1, 1201))
    drawers = [DueDrawer(pool, FirstOffer(offer_id), SEED) for _ in range(3)]
    drawn = await asyncio.gather(*(one.draw_due(standing(NOW)) for one in drawers))
    drawn.append(await drawers[0].draw_due(standing(NOW)))
    assert sum(drawn) == await pool.fetchval("select count(*) from decisions") == 1200
    assert await states(pool) == {State.READY: 1200}


@pytest.mark.parametrize("lanes", [1, 2])
async def test_of_a_backlog_several_batches_are_drawn_at_once(
    pool: asyncpg.Pool, lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "BACKLOG_ROWS", due.BATCH_ROWS)
    under_way = most = 0

    class Slow(FirstOffer):
        async def decide(self, *given: Any) -> Any:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            drawn = await super().decide(*given)
            under_way -= 1
            return drawn

    await push_world.people(pool, 1800)
    offer_id = await push_world.offer(pool)
    await push_world.planned(pool, await push_world.campaign(pool), range(1, 1801))
    assert await DueDrawer(pool, Slow(offer_id), SEED, lanes).draw_due(standing(NOW)) == 1800
    assert most == lanes
    assert await states(pool) == {State.READY: 1800}
    assert await pool.fetchval("select count(*) from decisions") == 1800


class PassingClock:
    """Goes on by a step whenever it is read."""

    def __init__(self, step: timedelta) -> None:
        self.step = step
        self.at = NOW - step

    async def now(self) -> datetime:
        self.at += self.step
        return self.at


async def test_each_batch_of_a_backlog_is_drawn_at_its_own_instant(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "BACKLOG_ROWS", due.BATCH_ROWS)
    await push_world.people(pool, 1200)
    offer_id = await push_world.offer(pool)
    await push_world.planned(pool, await push_world.campaign(pool), range(1, 1201))
    clock = PassingClock(timedelta(hours=4))
    assert await DueDrawer(pool, FirstOffer(offer_id), SEED).draw_due(clock.now) == 1200
    assert clock.at == NOW + 12 * HOUR  # four looks: the last from the beginning, for what was left out on the way
    assert await states(pool) == {State.READY: 1000, State.EXPIRED: 200}
    found = await pool.fetch("select distinct decision_id from outbox where decision_id is not null")
    assert {instant_of(row[0]) for row in found} == {NOW, NOW + 4 * HOUR}


async def test_each_batch_of_a_backlog_is_sent_at_its_own_instant(
    pool: asyncpg.Pool, server: StandInServer, dispatcher: Dispatcher
) -> None:
    await world(pool, 1200)
    clock = PassingClock(timedelta(hours=2))  # read before a batch and after its answers
    assert await dispatcher.dispatch(clock.now) == 1200
    assert clock.at == NOW + 8 * HOUR  # the third claim took what was left, and there was no fourth
    assert await states(pool) == {State.ACCEPTED: 1000, State.EXPIRED: 200}
    assert {entry.occurred_at for entry in await exposures(pool)} == {NOW, NOW + 4 * HOUR}
    received = server.get("/inbox?after=0&limit=5000")["messages"]
    lives = {entry["message"]["android"]["ttl"] for entry in received}
    assert lives == {f"{6 * 3600}s", f"{2 * 3600}s"}


@pytest.mark.parametrize(("lanes", "taken"), [(1, 1), (2, 2)])
async def test_beside_others_a_lane_takes_what_was_drawn_while_it_sent(
    pool: asyncpg.Pool, channel: FcmChannel, lanes: int, taken: int
) -> None:
    stored = await world(pool, 2)
    await pool.execute("update outbox set send_at = $1 where user_id = 2", LATER)

    class DrawsAnother(EventLogJournal):
        async def accepted(self, connection: Any, *given: Any) -> None:
            await super().accepted(connection, *given)
            await connection.execute("update outbox set send_at = $1 where campaign_id = $2", NOW, stored.id)

    assert await Dispatcher(pool, channel, DrawsAnother(), lanes=lanes).dispatch(standing(NOW)) == taken


async def test_a_wait_runs_from_the_answer_that_asked_for_it(pool: asyncpg.Pool, dispatcher: Dispatcher) -> None:
    await world(pool, 1, "quota")
    await dispatcher.dispatch(PassingClock(timedelta(seconds=1)).now)
    assert dispatcher.paused_until == NOW + timedelta(seconds=1 + 2)


async def test_a_stop_ends_a_backlog_after_the_batch_that_is_under_way(
    pool: asyncpg.Pool, server: StandInServer, channel: FcmChannel
) -> None:
    stop = asyncio.Event()

    class StopsInDraw(FirstOffer):
        async def decide(self, *given: Any) -> Any:
            stop.set()
            return await super().decide(*given)

    class StopsInSend(EventLogJournal):
        async def accepted(self, *given: Any) -> None:
            stop.set()
            await super().accepted(*given)

    await push_world.people(pool, 1200)
    offer_id = await push_world.offer(pool)
    await push_world.planned(pool, await push_world.campaign(pool), range(1, 1201))
    assert await DueDrawer(pool, StopsInDraw(offer_id), SEED).draw_due(standing(NOW), stop) == 500
    assert await states(pool) == {State.READY: 500, State.PLANNED: 700}
    stop.clear()
    await DueDrawer(pool, FirstOffer(offer_id), SEED).draw_due(standing(NOW), stop)
    dispatcher = Dispatcher(pool, channel, StopsInSend())
    assert await dispatcher.dispatch(standing(NOW), stop) == 500
    assert await states(pool) == {State.ACCEPTED: 500, State.READY: 700}
    assert await dispatcher.dispatch(standing(NOW), stop) == 0
    assert server.app.posts == 500


async def test_a_draw_that_fails_leaves_no_decision_and_the_rows_planned(pool: asyncpg.Pool) -> None:
    await push_world.people(pool, 2)
    offer_id = await push_world.offer(pool)
    await push_world.planned(pool, await push_world.campaign(pool), [1, 2])

    class Breaks(FirstOffer):
        async def decide(self, connection: Any, batch: Any, now: datetime) -> Any:
            await super().decide(connection, batch, now)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        await DueDrawer(pool, Breaks(offer_id), SEED, lanes=2).draw_due(standing(NOW))
    assert await states(pool) == {State.PLANNED: 2}
    assert await pool.fetchval("select count(*) from decisions") == 0
    assert await DueDrawer(pool, FirstOffer(offer_id), SEED).draw_due(standing(NOW)) == 2


async def test_a_dispatcher_killed_between_claim_and_settle_leaves_unknown_rows_that_nobody_sends_again(
    pool: asyncpg.Pool, database: str, server: StandInServer, dispatcher: Dispatcher, tmp_path: Path
) -> None:
    await world(pool, 4)
    await addressed(pool, 1, "hang-1")
    account = tmp_path / "account.json"
    account.write_bytes(msgspec.json.encode(server.account))
    command = [sys.executable, "-m", "tests.integration.dispatcher_process", database, server.url, str(account)]
    process = await asyncio.create_subprocess_exec(*command, NOW.isoformat(), stderr=asyncio.subprocess.DEVNULL)
    async with asyncio.timeout(30):
        while server.app.posts < 4:
            await asyncio.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    assert await states(pool) == {State.SENDING: 4}
    assert await push_world.open_count(pool, NOW) == 4
    await dispatcher.sweep(NOW)
    assert await dispatcher.dispatch(standing(LATER)) == 0
    assert await states(pool) == {State.SENDING: 4}
    await pool.execute("update outbox set lease_until = now() - interval '1 second'")
    await dispatcher.sweep(LATER)
    assert await outcomes(pool) == dict.fromkeys(range(1, 5), (State.UNKNOWN, "lease_expired"))
    assert await dispatcher.dispatch(standing(LATER + HOUR)) == 0
    assert server.app.posts == 4


async def test_an_answer_after_the_lease_changes_nothing_and_is_not_told(
    pool: asyncpg.Pool, server: StandInServer, dispatcher: Dispatcher
) -> None:
    await world(pool, 1)
    await addressed(pool, 1, "slow-1")
    sending = asyncio.create_task(dispatcher.dispatch(standing(NOW)))
    while server.app.posts < 1:
        await asyncio.sleep(0.01)
    await pool.execute("update outbox set lease_until = now() - interval '1 second'")
    await dispatcher.sweep(NOW)
    assert await sending == 1
    assert await states(pool) == {State.UNKNOWN: 1}
    assert await exposures(pool) == []


async def test_what_the_database_did_not_take_at_once_is_settled_and_told_once(
    pool: asyncpg.Pool, server: StandInServer, channel: FcmChannel
) -> None:
    class Fails(EventLogJournal):
        calls = 0

        async def accepted(self, connection: Any, sent: Any, now: datetime) -> None:
            await super().accepted(connection, sent, now)
            self.calls += 1
            if self.calls == 1:
                await connection.execute("select pg_terminate_backend(pg_backend_pid())")

    await world(pool, 3)
    assert await Dispatcher(pool, channel, Fails()).dispatch(standing(NOW)) == 3
    assert await states(pool) == {State.ACCEPTED: 3}
    assert len(await exposures(pool)) == server.app.posts == 3


async def test_only_the_holder_of_the_last_claim_settles(pool: asyncpg.Pool) -> None:
    await world(pool, 1)
    async with pool.acquire() as connection:
        (row,) = (await claim.claim(connection, NOW, 10, NOW, claim.Known(RulesCache(), CampaignCache()))).rows
    stale = outbox.Settled(row.key, row.fence - 1, State.READY, "stale", NOW)
    mine = stale._replace(fence=row.fence, state=State.ACCEPTED, retry_at=None)
    assert await outbox.settle(pool, [stale], NOW) == set()
    assert await outbox.settle(pool, [mine], NOW) == {row.fence}
    assert await outbox.settle(pool, [mine], NOW) == set()


@pytest.mark.parametrize(
    ("change", "state", "reason"),
    [
        ("update users set vetoed_offer_ids = '{1}' where user_id = 1", State.WITHDRAWN, "vetoed"),
        ("update users set opted_out_at = created_at where user_id = 1", State.WITHDRAWN, "opted_out"),
        ("update users set has_push_consent = false where user_id = 1", State.WITHDRAWN, "no_push_consent"),
        ("update users set muted_until = '2030-01-01' where user_id = 1", State.WITHDRAWN, "muted"),
        (
            "update users set snoozed_offer_ids = '{1}', snoozed_until = '{2030-01-01}' where user_id = 1",
            State.WITHDRAWN,
            "snoozed",
        ),
        ("delete from users where user_id = 1", State.WITHDRAWN, "person_gone"),
        ("update campaigns set status = 'ended'", State.WITHDRAWN, "campaign_ended"),
        ("delete from devices where user_id = 1", State.FAILED, "no_address"),
        ("update outbox set send_until = '2026-03-02 09:00:30+00' where user_id = 1", State.EXPIRED, "expired"),
    ],
)
async def test_what_was_said_between_draw_and_claim_stops_the_push(
    pool: asyncpg.Pool, server: StandInServer, dispatcher: Dispatcher, change: str, state: State, reason: str
) -> None:
    await world(pool, 1)
    await pool.execute(change)
    assert await dispatcher.dispatch(standing(LATER)) == 1
    assert await outcomes(pool) == {1: (state, reason)}
    assert server.app.posts == 0
    assert await push_world.open_count(pool, LATER) == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"is_paused": True}, "offer_gone"),
        ({"ends_at": NOW}, "offer_ended"),
        ({"starts_at": NOW + HOUR}, "offer_gone"),
        ({"channels": ["in_app"]}, "offer_gone"),
        ({"exclude_store_ids": ["s1"]}, "wrong_store"),
        ({"store_ids": ["s2"]}, "wrong_store"),
        (None, "offer_gone"),
    ],
)
async def test_an_offer_that_is_gone_when_its_push_leaves_is_not_sent(
    pool: asyncpg.Pool, server: StandInServer, dispatcher: Dispatcher, changes: dict[str, Any] | None, reason: str
) -> None:
    await world(pool, 1)
    await pool.execute("update users set traits = $1", {"store_id": "s1"})
    if changes is None:
        async with pool.acquire() as connection:
            await offers.delete(connection, "coffee")
    else:
        await push_world.offer(pool, **changes)
    await dispatcher.dispatch(standing(LATER))
    assert await outcomes(pool) == {1: (State.WITHDRAWN, reason)}
    assert server.app.posts == 0


@pytest.mark.parametrize("stores", [{}, {"store_ids": ["s1", "s2"]}, {"exclude_store_ids": ["s2"]}])
async def test_a_changed_offer_that_still_runs_is_sent(
    pool: asyncpg.Pool, dispatcher: Dispatcher, stores: dict[str, Any]
) -> None:
    await world(pool, 1)
    await pool.execute("update users set traits = $1", {"store_id": "s1"})
    await push_world.offer(pool, starts_at=NOW - HOUR, ends_at=NOW + HOUR, **stores)
    await dispatcher.dispatch(standing(NOW))
    assert await states(pool) == {State.ACCEPTED: 1}


async def test_a_planned_row_past_its_time_is_not_drawn(pool: asyncpg.Pool) -> None:
    await push_world.people(pool, 2)
    offer_id = await push_world.offer(pool)
    await push_world.planned(pool, await push_world.campaign(pool), [1, 2])
    assert await DueDrawer(pool, FirstOffer(offer_id), SEED).draw_due(standing(NOW + timedelta(hours=6))) == 2
    assert await states(pool) == {State.EXPIRED: 2}
    assert await pool.fetchval("select count(*) from decisions") == 0


async def test_a_paused_campaign_waits_and_an_ended_one_withdraws(pool: asyncpg.Pool, dispatcher: Dispatcher) -> None:
    stored = await world(pool, 2)
    async with pool.acquire() as connection:
        await campaigns.set_status(connection, "lunch", "paused", NOW)
        assert await dispatcher.dispatch(standing(NOW)) == 0
        assert await push_world.open_count(connection, NOW) == 0
        await campaigns.set_status(connection, "lunch", "active", NOW)
        assert await push_world.open_count(connection, NOW) == 2
        ended = await campaigns.set_status(connection, "lunch", "ended", NOW)
        assert ended is not None
        assert ended.id == stored.id
        assert await campaigns.set_status(connection, "lunch", "active", NOW) is None
    assert await outcomes(pool) == dict.fromkeys((1, 2), (State.WITHDRAWN, "campaign_ended"))


async def test_what_a_pause_outlasts_expires_by_the_tick(pool: asyncpg.Pool) -> None:
    await world(pool, 2)
    async with pool.acquire() as connection:
        await campaigns.set_status(connection, "lunch", "paused", NOW)
        await endings.expire(connection, NOW + HOUR)
        assert await states(connection) == {State.READY: 2}
        await endings.expire(connection, NOW + timedelta(hours=6))
        assert await states(connection) == {State.EXPIRED: 2}


async def test_a_message_too_long_fails_alone_and_its_campaign_goes_on(
    pool: asyncpg.Pool, server: StandInServer, dispatcher: Dispatcher
) -> None:
    await push_world.people(pool, 3)
    offer_id = await push_world.offer(pool)
    stored = await push_world.campaign(pool)
    await ready(pool, stored, [1, 2], FirstOffer(offer_id, title="x" * 5000))
    await ready(pool, stored, [3], FirstOffer(offer_id))
    await dispatcher.dispatch(standing(NOW))
    assert Counter(state for state, _ in (await outcomes(pool)).values()) == {State.FAILED: 2, State.ACCEPTED: 1}
    assert (await outcomes(pool))[1][1].startswith("INVALID_MESSAGE: payload of")
    assert await pool.fetchval("select status from campaigns") == "active"
    assert await pool.fetchval("select count(*) from devices") == 3
    assert server.app.posts == 1


async def test_a_payload_that_fcm_refuses_pauses_the_campaign_and_keeps_the_address(
    pool: asyncpg.Pool, dispatcher: Dispatcher
) -> None:
    await push_world.people(pool, 3)
    offer_id = await push_world.offer(pool)
    bad = await push_world.campaign(pool, "bad")
    good = await push_world.campaign(pool, "good")
    await ready(pool, bad, [1], FirstOffer(offer_id))
    await ready(pool, good, [2], FirstOffer(offer_id))
    no_text = """update outbox set message = '{"title": "t", "body": "b", "image_url": null, "data": {"k": 1}}' where campaign_id = $1"""
    await pool.execute(no_text, bad.id)
    await dispatcher.dispatch(standing(NOW))
    found = await outcomes(pool)
    assert (found[1][0], found[2][0]) == (State.FAILED, State.ACCEPTED)
    assert found[1][1].startswith("INVALID_ARGUMENT: Invalid JSON payload")
    assert dict(await pool.fetch("select external_id, status from campaigns")) == {"bad": "paused", "good": "active"}
    assert await pool.fetchval("select count(*) from devices") == 3


async def test_what_fcm_says_of_addresses(pool: asyncpg.Pool, dispatcher: Dispatcher) -> None:
    await world(pool, 5)
    for user_id, address in ((2, "gone-2"), (3, "gone-3"), (4, "bad-4"), (5, "sender-5")):
        await addressed(pool, user_id, address)
    await pool.execute("update devices set address_updated_at = $1 where user_id = 3", NOW)
    await dispatcher.dispatch(standing(NOW))
    left = await pool.fetch("select user_id, is_push_enabled from devices order by user_id")
    assert [tuple(row) for row in left] == [(1, True), (3, True), (5, False)]
    assert await states(pool) == {State.ACCEPTED: 1, State.FAILED: 4}


class Counts:
    """A meter that remembers."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.alarms: list[str] = []

    def count(self, outcomes: Any) -> None:
        self.counts.update(outcomes)

    def rate(self, per_s: float) -> None: ...

    def alarm(self, what: str) -> None:
        self.alarms.append(what)


async def test_a_bad_apns_key_keeps_ios_waiting_and_rings_while_android_goes_on(
    pool: asyncpg.Pool, server: StandInServer, channel: FcmChannel
) -> None:
    meter = Counts()
    governor = SharedGovernor(pool, channel.account, 1_000_000.0)
    dispatcher = Dispatcher(pool, channel, EventLogJournal(), governor, meter=meter)
    other = Dispatcher(pool, channel, EventLogJournal(), SharedGovernor(pool, channel.account, 1_000_000.0))
    await world(pool, 1, "apns")
    await pool.execute("update devices set platform = 'ios'")
    await dispatcher.dispatch(standing(NOW))
    assert meter.counts == {"third_party_auth_error": 1}
    assert meter.alarms == ["third_party_auth_error"]
    assert await states(pool) == {State.READY: 1}
    assert await pool.fetchval("select min(send_at) from outbox") == NOW + timedelta(minutes=15)
    await pool.execute("update devices set address = 'ok-1'")
    await pool.execute("update outbox set send_at = $1", NOW)
    assert await other.dispatch(standing(NOW)) == 1
    assert server.app.posts == 1
    await pool.execute("update devices set platform = 'android'")
    await pool.execute("update outbox set send_at = $1", NOW)
    assert await other.dispatch(standing(NOW)) == 1
    assert await states(pool) == {State.ACCEPTED: 1}


async def test_a_message_lives_no_longer_than_its_offer(
    pool: asyncpg.Pool, server: StandInServer, dispatcher: Dispatcher
) -> None:
    await world(pool, 1)
    await push_world.offer(pool, ends_at=NOW + HOUR)
    await dispatcher.dispatch(standing(NOW))
    ((received,),) = [server.app.inbox.device("ok-1")]
    message = msgspec.json.decode(received.entry.message)
    assert message["android"]["ttl"] == "3600s"
    assert message["apns"]["headers"]["apns-expiration"] == str(int((NOW + HOUR).timestamp()))
    assert message["webpush"]["headers"]["TTL"] == "3600"


async def test_a_bad_address_is_kept_while_its_message_is_not_known_to_be_sound(
    pool: asyncpg.Pool, dispatcher: Dispatcher
) -> None:
    await world(pool, 2, "bad")
    await dispatcher.dispatch(standing(NOW))
    assert await pool.fetchval("select count(*) from devices") == 2
    assert await states(pool) == {State.FAILED: 2}


async def test_a_full_quota_stops_everything_until_its_time(
    pool: asyncpg.Pool, server: StandInServer, dispatcher: Dispatcher
) -> None:
    await world(pool, 600)
    await addressed(pool, 1, "quota-1")
    assert await dispatcher.dispatch(standing(NOW)) == 500
    assert dispatcher.paused_until == NOW + timedelta(seconds=2)
    assert await dispatcher.dispatch(standing(NOW + timedelta(seconds=1))) == 0
    taken = await states(pool)
    await addressed(pool, 1, "ok-1")
    assert await dispatcher.dispatch(standing(NOW + timedelta(seconds=2))) == 600 - taken[State.ACCEPTED]
    assert await states(pool) == {State.ACCEPTED: 600}
    assert server.app.inbox.count == 600


async def test_what_never_arrived_is_sent_later_and_what_perhaps_did_is_not(
    pool: asyncpg.Pool, server: StandInServer, dispatcher: Dispatcher
) -> None:
    await world(pool, 3)
    await addressed(pool, 1, "int-1")
    await addressed(pool, 2, "down-2")
    await dispatcher.dispatch(standing(NOW))
    assert await states(pool) == {State.ACCEPTED: 1, State.READY: 1, State.UNKNOWN: 1}
    assert await dispatcher.dispatch(standing(NOW + timedelta(seconds=9))) == 0
    await addressed(pool, 1, "ok-1")
    assert await dispatcher.dispatch(standing(NOW + timedelta(seconds=10))) == 1
    assert await states(pool) == {State.ACCEPTED: 2, State.UNKNOWN: 1}


async def test_an_unreachable_service_is_not_tried_with_the_whole_outbox(
    pool: asyncpg.Pool, server: StandInServer, channel: FcmChannel
) -> None:
    await world(pool, 600)
    server.stop()
    dispatcher = Dispatcher(pool, channel, EventLogJournal())
    assert await dispatcher.dispatch(standing(NOW)) == 500
    assert dispatcher.paused_until == NOW + timedelta(seconds=5)
    assert await states(pool) == {State.READY: 600}
    assert await pool.fetchval("select max(attempts) from outbox") == 1


async def test_a_pause_is_as_long_as_it_was_meant_to_be_though_the_clock_is_set_back(
    pool: asyncpg.Pool, server: StandInServer, dispatcher: Dispatcher
) -> None:
    await world(pool, 3)
    server.put_faults({"mode": "429", "retry_after_s": 1, "times": 3})
    began = asyncio.get_running_loop().time()
    assert await dispatcher.dispatch(standing(NOW)) == 3
    await pool.execute("update outbox set send_at = $1", NOW - 2 * HOUR)
    assert await dispatcher.dispatch(standing(NOW - HOUR)) == 0
    async with asyncio.timeout(10):
        while not await dispatcher.dispatch(standing(NOW - HOUR)):
            await asyncio.sleep(0.05)
    assert asyncio.get_running_loop().time() - began > 1.0
    assert await states(pool) == {State.ACCEPTED: 3}
