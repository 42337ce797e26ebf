"""The kill switch: after its answer nothing is claimed on any node, until somebody lets sending go on; over the API, with dispatchers at work."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from prometheus_client import generate_latest

from push import agenda, stop
from push.campaign import campaigns
from push.campaign.campaigns import CampaignCache
from push.clock import standing
from push.contact.contacts import RulesCache
from push.drawing.due import DueDrawer
from push.fcm.channel import FcmChannel
from push.outbox import State
from push.planning.planner import Planner
from push.sending import claim, dispatcher
from push.sending.dispatcher import Dispatcher
from schema.sending import SendingSwitch
from service import telemetry
from service.planning.exposure_journal import EventLogJournal
from service.planning.moments import LearnedMoments
from service.settings import Settings
from service.worker import Worker
from tests.contract.stand_in_server import StandInServer
from tests.integration import decision_world, push_world, test_inbox
from tests.integration.push_world import HOUR, NOW, SEED, STARTS_AT, FirstOffer, ready, states
from tests.integration.serving import Api, serving

BEFORE = STARTS_AT.replace(tzinfo=UTC) - HOUR
LATER = NOW + timedelta(minutes=1)
PEOPLE = 600
STOP = {"is_stopped": True, "reason": "the soup is cold"}
GO = {"is_stopped": False, "reason": "it is warm again"}


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database, seed=SEED.decode()) as served:
        served.headers.update(await served.key("sk", "campaigns", "campaigns:approve"))
        yield served


@pytest.fixture
def server() -> Iterator[StandInServer]:
    with StandInServer() as server:
        server.now = NOW
        yield server


def addresses(server: StandInServer) -> list[str]:
    """Of all messages the stand-in has taken."""
    return [entry.address for entry in server.app.inbox.feed(0, 10_000).messages]


async def test_dispatchers_at_work_stop_and_go_on(
    api: Api, server: StandInServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "BATCH_ROWS", 20)
    pool = api.resources.pool
    await push_world.people(pool, PEOPLE)
    offer_id = await push_world.offer(pool)
    await ready(pool, await push_world.campaign(pool), range(1, PEOPLE + 1), FirstOffer(offer_id))
    is_over = asyncio.Event()

    async def works() -> None:
        channel = FcmChannel(server.account, base_url=server.url)
        await channel.open()
        at_work = Dispatcher(pool, channel, EventLogJournal())
        while not is_over.is_set():
            await at_work.dispatch(standing(LATER))
            await asyncio.sleep(0.01)
        await channel.close()

    working = [asyncio.create_task(works()) for _ in range(3)]
    while len(addresses(server)) < 100:
        await asyncio.sleep(0.01)
    told = (await api.put("/v1/sending", json=STOP)).json()
    left = (await states(pool))[State.READY]
    assert left > 100
    while State.SENDING in await states(pool):
        await asyncio.sleep(0.01)
    arrived = addresses(server)
    assert len(arrived) == PEOPLE - left
    assert told["being_sent"] <= 60
    await asyncio.sleep(0.5)
    assert addresses(server) == arrived
    assert (await states(pool))[State.READY] == left
    assert (await api.put("/v1/sending", json=GO)).json()["is_stopped"] is False
    while (await states(pool)).get(State.ACCEPTED) != PEOPLE:
        await asyncio.sleep(0.01)
    is_over.set()
    await asyncio.gather(*working)
    assert set(Counter(addresses(server)).values()) == {1}
    assert len(addresses(server)) == PEOPLE


async def test_a_stop_is_answered_when_the_last_claim_is_committed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = api.resources.pool
    await push_world.people(pool, 2)
    await ready(pool, await push_world.campaign(pool), [1], FirstOffer(await push_world.offer(pool)))
    has_taken, may_go_on, judge = asyncio.Event(), asyncio.Event(), claim._judge

    async def slow(*given: Any) -> Any:
        has_taken.set()
        await may_go_on.wait()
        return await judge(*given)

    monkeypatch.setattr(claim, "_judge", slow)
    async with pool.acquire() as connection:
        known = claim.Known(RulesCache(), CampaignCache())
        claiming = asyncio.create_task(claim.claim(connection, LATER, 10, LATER, known))
        await has_taken.wait()
        stopping = asyncio.create_task(api.put("/v1/sending", json=STOP))
        await asyncio.sleep(0.3)
        assert not stopping.done()
        may_go_on.set()
        assert len((await claiming).rows) == 1
        assert (await stopping).json()["being_sent"] == 1
        assert (await claim.claim(connection, LATER, 10, LATER, known)).taken == 0


async def set_off(pool: asyncpg.Pool, name: str, **changes: Any) -> None:
    """A campaign that is to be planned, with a planned row that is due, and one with a drawn row."""
    await push_world.campaign(pool, f"{name}-plan", **changes)
    drawn = await push_world.campaign(pool, f"{name}-draw", **changes)
    await pool.execute("update campaigns set plan_at = null where campaign_id = $1", drawn.id)
    await push_world.planned(pool, drawn, [1, 2])
    await pool.execute("update outbox set state = 1 where user_id = 2")


async def throw(pool: asyncpg.Pool, **switch: Any) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await stop.switch(connection, SendingSwitch(reason="test", **switch), NOW, "test")


async def test_nothing_is_planned_or_drawn_either(api: Api) -> None:
    pool = api.resources.pool
    await decision_world.publish(pool, BEFORE)
    await api.resources.snapshot.refresh()
    await push_world.people(pool, 2)
    offer_id = await push_world.offer(pool)
    await set_off(pool, "sale")
    planner = Planner(pool, LearnedMoments(api.resources.snapshot), SEED)
    drawer = DueDrawer(pool, FirstOffer(offer_id), SEED)
    assert (await agenda.look(pool, NOW))[:3] == (True, True, True)
    await throw(pool, is_stopped=True)
    assert (await agenda.look(pool, NOW))[:3] == (False, False, False)
    assert await planner.plan_due(NOW) == 0
    assert await drawer.draw_due(standing(NOW)) == 0
    stored = await campaigns.read(pool, "sale-plan")
    assert stored is not None
    assert not await campaigns.hold_active(pool, stored.id)
    assert not await campaigns.is_active(pool, stored.id)
    await throw(pool, is_stopped=False)
    assert await planner.plan_due(NOW) == 2
    assert await drawer.draw_due(standing(NOW)) >= 1


async def test_what_is_transactional_may_be_spared(api: Api) -> None:
    pool = api.resources.pool
    await push_world.people(pool, 2)
    await set_off(pool, "sale")
    await throw(pool, is_stopped=True, spares_transactional=True)
    assert (await agenda.look(pool, NOW))[:3] == (False, False, False)
    await set_off(pool, "receipt", kind="transactional")
    assert (await agenda.look(pool, NOW))[:3] == (True, True, True)
    await throw(pool, is_stopped=True)
    assert (await agenda.look(pool, NOW))[:3] == (False, False, False)


async def test_inboxes_show_nothing_of_what_is_stopped(api: Api) -> None:
    api.headers.update(await api.key("sk", "users", "campaigns", "campaigns:approve"))
    await test_inbox.known(api, "ann")
    offer_id = await push_world.offer(api.resources.pool)
    lunch = await push_world.campaign(api.resources.pool, channels=["push", "inbox"])
    await test_inbox.put(api, lunch, 1, offer_id, 0)
    for switch, shown in ((STOP, 0), (STOP | {"spares_transactional": True}, 0), (GO, 1)):
        await api.put("/v1/sending", json=switch)
        assert len((await test_inbox.pull(api))["data"]) == shown


async def test_metrics_tell_that_sending_is_stopped(api: Api, database: str, server: StandInServer) -> None:
    worker = Worker(Settings(data_dir=Path("/nonexistent")), database, FcmChannel(server.account, base_url=server.url))
    worker.pool = api.resources.pool
    for is_stopped in (True, False):
        await throw(worker.pool, is_stopped=is_stopped)
        await worker.send(NOW)
        told = f"welltimed_sending_stopped {float(is_stopped)}"
        assert told in generate_latest(telemetry.REGISTRY).decode()


async def test_who_may_throw_it_and_what_is_told(api: Api) -> None:
    untouched = (await api.get("/v1/sending")).json()
    assert (untouched["version"], untouched["is_stopped"], untouched["being_sent"]) == (0, False, 0)
    merchandiser = await api.key("sk", "campaigns")
    stopped = await api.put("/v1/sending", json=STOP, headers=merchandiser)
    assert (stopped.status_code, stopped.json()["reason"]) == (200, STOP["reason"])
    assert stopped.json()["set_by"].startswith("key ")
    refused = await api.put("/v1/sending", json=GO, headers=merchandiser)
    assert (refused.status_code, "campaigns:approve" in refused.json()["detail"]) == (403, True)
    assert (await api.get("/v1/sending")).json() == stopped.json()
    assert (await api.put("/v1/sending", json=GO)).json()["version"] == 2
    assert (await api.put("/v1/sending", json={"is_stopped": True})).status_code == 400
