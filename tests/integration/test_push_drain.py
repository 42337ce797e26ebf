"""SIGTERM to a worker in the midst of sending: nothing new is claimed, what is on its way is settled, and it ends by itself."""

import asyncio
import json
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from push.clock import standing
from push.drawing.due import DueDrawer
from push.outbox import State
from service.store.pool import open_pool
from tests.contract.stand_in_server import StandInServer
from tests.integration import push_world
from tests.integration.push_world import SEED, FirstOffer, states

PEOPLE = 1500


async def fill(pool: asyncpg.Pool) -> None:
    now = datetime.now(UTC)
    await push_world.people(pool, PEOPLE, "slow")
    offer_id = await push_world.offer(pool)
    await push_world.planned(pool, await push_world.campaign(pool), range(1, PEOPLE + 1), now)
    await DueDrawer(pool, FirstOffer(offer_id), SEED).draw_due(standing(now))


@pytest.mark.slow
async def test_a_worker_told_to_end_settles_what_is_on_its_way_and_begins_nothing(
    database: str, tmp_path: Path
) -> None:
    with StandInServer(slow_s=1.5) as server:
        (tmp_path / "account.json").write_text(json.dumps(server.account))
        variables = {
            "DATABASE_URL": database,
            "DATA_DIR": str(tmp_path),
            "FCM_BASE_URL": server.url,
            "FIREBASE_CREDENTIALS": str(tmp_path / "account.json"),
            "FCM_MESSAGES_PER_MINUTE": "6000",
        }
        async with await open_pool(database, 4) as pool:
            await fill(pool)
            worker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "service.cli", "serve", "--role", "worker"),
                env=os.environ | {f"WELLTIMED_{name}": value for name, value in variables.items()},
                stderr=asyncio.subprocess.DEVNULL,
            )
            async with asyncio.timeout(120):
                while server.app.posts < 20:
                    await asyncio.sleep(0.02)
            began = time.monotonic()
            worker.send_signal(signal.SIGTERM)
            async with asyncio.timeout(30):
                assert await worker.wait() == 0
            took_s = time.monotonic() - began
            found = await states(pool)
        posts = server.app.posts
        received = server.app.inbox.count
    assert found == {State.ACCEPTED: posts, State.READY: PEOPLE - posts}
    assert received == posts < PEOPLE
    assert took_s < 20
