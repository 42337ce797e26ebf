"""kill -9 of API workers, the background worker and PostgreSQL, ten times under load: nothing acknowledged is lost or counted twice."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

import asyncpg
import httpx
import pytest

from push import outbox
from push.campaign import campaigns
from push.planning.plan_rows import Planned
from schema.ids import partition_of, stable_entropy, uuid7
from service.store.pool import prepare
from tests.story import crash_audit
from tests.story.crash_load import TAGS, TIMEOUT_S, Client, Ledger
from tests.story.world import Serve, kill, postgres_processes, postmaster, serving

SEED: Final = "ten kills"
KILLS: Final = ("api", "worker", "postmaster", "api", "postgres", "worker", "api", "postmaster", "worker", "postgres")
PAUSE_S: Final = (2.0, 4.0)
WORKERS: Final = 2
PEOPLE: Final = 200
OFFERS: Final = 12
PUSHES_OVER_S: Final = 35.0
QUIET_S: Final = 60.0
CAMPAIGN: Final = "crash"


@pytest.fixture
def serve(data_dir: Path, pg_bin: Path | None) -> Iterator[Serve]:
    with serving(data_dir, "--workers", str(WORKERS), pg_bin=pg_bin) as running:
        yield running


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_ten_kills_lose_nothing_and_count_nothing_twice(serve: Serve) -> None:
    ledger = Ledger()
    async with AsyncExitStack() as stack:

        async def client(name: str) -> Client:
            http = httpx.AsyncClient(base_url=serve.url, headers=serve.headers, trust_env=False, timeout=TIMEOUT_S)
            return Client(await stack.enter_async_context(http), ledger, PEOPLE, name)

        await set_up(await client("operator"))
        await plan_pushes(serve.dsn())
        over = asyncio.Event()
        async with asyncio.TaskGroup() as load:
            for n in range(3):
                load.create_task((await client(f"reporter-{n}")).report_until(over.is_set))
                load.create_task((await client(f"decider-{n}")).decide_until(over.is_set))
            await kill_ten(serve, Random(SEED))
            over.set()
        await audit(serve, ledger)


async def set_up(operator: Client) -> None:
    """Offers, people with phones, and a campaign whose window lies too far ahead for the planner."""
    for n in range(OFFERS):
        offer = {
            "offer_id": f"offer-{n}",
            "creative": {"title": f"Deal {n}"},
            "tags": list(TAGS[n : n + 2]),
            "code": "D",
        }
        await operator.call("PUT", f"/v1/offers/offer-{n}", offer)
    phones = [
        operator.call(
            "PUT",
            f"/v1/devices/phone-{n}",
            {"user_id": f"user-{n}", "token": f"ok-{n}", "platform": "android", "time_zone": "UTC"},
        )
        for n in range(PEOPLE)
    ]
    await asyncio.gather(*phones)
    starts_at = datetime.now() + timedelta(days=3)  # noqa: DTZ005 - local times have no zone
    campaign = {
        "campaign_id": CAMPAIGN,
        "starts_at": starts_at.isoformat(),
        "ends_at": (starts_at + timedelta(days=7)).isoformat(),
        "holdout_share": 0.0,
        "control_share": 0.0,
    }
    await operator.call("PUT", "/v1/contact-rules", {"quiet_hours": [], "caps": [], "min_gap_s": 0})
    await operator.call("POST", "/v1/campaigns", campaign)


async def plan_pushes(dsn: str) -> None:
    """One push for everybody, as the planner writes them, but at moments within this test rather than at full hours."""
    connection = await asyncpg.connect(dsn)
    await prepare(connection)
    try:
        stored = await campaigns.read(connection, CAMPAIGN)
        assert stored is not None
        now, random = datetime.now(UTC), Random(SEED)
        until = now + timedelta(hours=1)
        rows = []
        for (user_id,) in await connection.fetch("select user_id from users order by user_id"):
            send_at = now + timedelta(seconds=random.uniform(0.0, PUSHES_OVER_S))
            outbox_id = uuid7(send_at, stable_entropy(SEED.encode(), user_id.to_bytes(8)))
            rows.append(Planned(user_id, outbox_id, partition_of(user_id), send_at, until, until, 1.0))
        assert await outbox.plan(connection, stored, stored.campaign.starts_at, rows) == PEOPLE
    finally:
        await connection.close()


async def kill_ten(serve: Serve, random: Random) -> None:
    """The victims in a seeded order, a few seconds apart."""
    victims = random.sample(KILLS, len(KILLS))
    for victim in victims:
        await asyncio.sleep(random.uniform(*PAUSE_S))
        while not (pids := pids_of(serve, victim, random)):
            await asyncio.sleep(0.05)
        for pid in pids:
            kill(pid)
    await asyncio.sleep(PAUSE_S[1])


def pids_of(serve: Serve, victim: str, random: Random) -> list[int]:
    if victim == "postmaster":
        return [postmaster(serve.postgres_root)] if postgres_processes(serve.postgres_root) else []
    if victim == "postgres":
        return postgres_processes(serve.postgres_root)
    running = serve.children(victim)
    return random.sample(running, min(1, len(running)))


async def audit(serve: Serve, ledger: Ledger) -> None:
    assert ledger.strange == []
    async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_S) as http:
        connection = await asyncpg.connect(serve.dsn())
        try:
            await _until(lambda: crash_audit.settled(connection), "the learner or the dispatcher stands still")
            await _until(lambda: _are_up_to_date(http, serve.url, connection), "an API worker has an old snapshot")
            await crash_audit.assert_nothing_lost(connection, ledger)
            await crash_audit.assert_counted_once(connection)
            before = await crash_audit.states_of_pushes(connection)
            inbox = (await http.get(f"{serve.stand_in_url}/inbox", params={"limit": 10_000})).json()["messages"]
            after = await crash_audit.states_of_pushes(connection)
            crash_audit.assert_pushed_at_most_once(inbox, before, after)
            assert Counter(after.values())[outbox.State.ACCEPTED] > PEOPLE // 2
            assert ledger.events
            assert ledger.replayed
            assert ledger.retries
            assert ledger.vetoes
        finally:
            await connection.close()


async def _are_up_to_date(http: httpx.AsyncClient, url: str, connection: Any) -> bool:
    """Whether every API worker, the background worker and the drawer decide by the newest snapshot."""
    newest = await connection.fetchval("select max(version) from snapshots")
    lines = (await http.get(f"{url}/metrics")).text.splitlines()
    versions = [float(line.split()[-1]) for line in lines if line.startswith("welltimed_snapshot_version{")]
    return [version for version in versions if version] == [float(newest)] * (WORKERS + 2)


async def _until(is_true: Callable[[], Any], what: str) -> None:
    deadline = asyncio.get_running_loop().time() + QUIET_S
    while not await is_true():
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.2)
