"""kill -9 of dispatchers at four points while others send: at most once, at least once, and shown once.

Judged by the stand-in's record of what phones received; only the count of the unknown is the outbox's own.
"""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import asyncpg
import msgspec
import pytest

from push import outbox
from push.clock import standing
from push.drawing.due import DueDrawer
from schema.campaign import StoredCampaign
from service.store.pool import open_pool
from tests.contract.stand_in_server import StandInServer
from tests.integration import push_world
from tests.integration.doomed_dispatcher import BEFORE_CLAIM, POINTS
from tests.integration.push_world import SEED, FirstOffer

PEOPLE = 60
STEADY = 2
KINDS = ("marketing", "transactional")
ROUNDS = 20 if os.environ.get("WELLTIMED_TEST_LONG") else 2
DIES_S, SETTLES_S, QUICK_S = 90.0, 120.0, 4.0


class Title(NamedTuple):
    """What a notification says here: the kind of its campaign, and the round."""

    kind: str
    round: int


@pytest.fixture
def server() -> Iterator[StandInServer]:
    with StandInServer(front="h2") as server:
        # Late enough that a dispatcher can be killed between the writing and the answer.
        server.put_faults({"mode": "slow", "delay_s": 0.3})
        yield server


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 4) as pool:
        yield pool


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_killed_anywhere_nothing_is_twice_nothing_is_lost_and_the_unknown_is_counted(
    pool: asyncpg.Pool, database: str, server: StandInServer, tmp_path: Path
) -> None:
    account = tmp_path / "account.json"
    account.write_bytes(msgspec.json.encode(server.account))
    arguments = [database, server.url, str(account), str(server.ca_file)]
    await push_world.people(pool, PEOPLE, "phone")
    offer_id = await push_world.offer(pool)
    campaigns: list[StoredCampaign] = []
    async with dispatchers(arguments, ["never"] * STEADY) as steady:
        await begin(steady)
        for number in range(ROUNDS):
            async with dispatchers(arguments, POINTS, times=1 + number % 3) as doomed:
                campaigns += await release(pool, offer_id, len(campaigns) // len(KINDS))
                await begin(doomed)
                async with asyncio.timeout(DIES_S):
                    while not await are_dead(doomed):  # the others were quicker: there is more to do
                        campaigns += await release(pool, offer_id, len(campaigns) // len(KINDS))
                assert [one.returncode for one in doomed] == [-signal.SIGKILL] * len(POINTS)
        await until_settled(pool)
    told = [await told_of(pool, campaign) for campaign in campaigns]
    judge(server, dict(zip((campaign.campaign.campaign_id for campaign in campaigns), told, strict=True)))


async def are_dead(processes: Sequence[Process]) -> bool:
    """Whether all have ended within a while."""
    _, alive = await asyncio.wait([asyncio.create_task(one.wait()) for one in processes], timeout=QUICK_S)
    for waiting in alive:
        waiting.cancel()
    return not alive


def judge(server: StandInServer, told: dict[str, dict[str, int]]) -> None:
    rounds = len(told) // len(KINDS)
    received = Counter((person, title) for person, title, _ in record(server))
    people = range(1, PEOPLE + 1)
    missing = dict.fromkeys(KINDS, 0)
    copies: Counter[str] = Counter()
    for number in range(rounds):
        for kind in KINDS:
            title = Title(kind, number)
            counts = [received[person, title] for person in people]
            missing[kind] += counts.count(0)
            copies[kind] += sum(count - 1 for count in counts if count > 1)
            states = told[f"{kind}-{number}"]
            assert states["accepted"] + states["unknown"] == PEOPLE
            if kind == "marketing":
                assert counts.count(0) <= states["unknown"], "what nobody got is among what nobody knows of"
    unknown = {kind: sum(told[f"{kind}-{n}"]["unknown_attempts"] for n in range(rounds)) for kind in KINDS}
    shown = Counter(
        (person, _title(banner.entry.message))
        for person in people
        for banner in server.app.inbox.banners(f"phone-{person}")
    )
    figures = {
        "kills": ROUNDS * len(POINTS),
        "pushes": PEOPLE * rounds * len(KINDS),
        "sent_twice": dict(copies),
        "received_by_nobody": missing,
        "unknown_attempts": unknown,
        "banners_twice": sum(count - 1 for count in shown.values()),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    assert copies["marketing"] == 0
    assert missing["transactional"] == 0
    assert set(shown.values()) == {1}
    assert shown.keys() == received.keys()
    # Each of three points leaves a batch behind, of at least one push.
    assert sum(unknown.values()) >= ROUNDS * (len(POINTS) - 1)
    assert copies["transactional"] > 0, "nothing was ever in doubt: the test shows nothing"


def record(server: StandInServer) -> Iterator[tuple[int, Title, str]]:
    """Person, title and tag of each message in the stand-in's feed."""
    for entry in server.app.inbox.feed(0, 1_000_000).messages:
        yield int(entry.address.rpartition("-")[2]), _title(entry.message), entry.tag


def _title(message: msgspec.Raw) -> Title:
    kind, _, number = msgspec.json.decode(message)["notification"]["title"].rpartition("-")
    return Title(kind, int(number))


async def release(pool: asyncpg.Pool, offer_id: int, number: int) -> list[StoredCampaign]:
    """A campaign of each kind, due for everybody at once."""
    now, made = datetime.now(UTC), []
    for kind in KINDS:
        stored = await push_world.campaign(pool, f"{kind}-{number}", kind=kind)
        await push_world.planned(pool, stored, range(1, PEOPLE + 1), now)
        await DueDrawer(pool, FirstOffer(offer_id, title=f"{kind}-{number}"), SEED).draw_due(standing(now))
        made.append(stored)
    return made


async def told_of(pool: asyncpg.Pool, campaign: StoredCampaign) -> dict[str, int]:
    async with pool.acquire() as connection:
        told = await outbox.outcomes(connection, campaign.id)
    return told.states | {"unknown_attempts": told.unknown_attempts}


async def until_settled(pool: asyncpg.Pool) -> None:
    async with asyncio.timeout(SETTLES_S):
        while await pool.fetchval("select count(*) from outbox where state < 3"):
            await asyncio.sleep(0.1)


async def begin(processes: Sequence[Process]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        await process.stdin.drain()


@asynccontextmanager
async def dispatchers(arguments: list[str], points: Sequence[str], times: int = 1) -> AsyncIterator[list[Process]]:
    """Processes that are ready to begin; what is left of them at the end is ended."""
    module = "tests.integration.doomed_dispatcher"
    running: list[Process] = []
    try:
        for point in points:
            # The first claim is reached by all at once; at others their turn comes by and by.
            given = (*arguments, point, str(1 if point == BEFORE_CLAIM else times))
            running.append(
                await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", module, *given), stdin=PIPE, stdout=PIPE, stderr=DEVNULL
                )
            )
        for process in running:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
        yield running
    finally:
        for process in running:
            if process.returncode is None:
                process.kill()
            await process.wait()
