"""Two real workers on one database: the one that leads is killed as by kill -9, and the other ticks within a second.

One after the other dies; with WELLTIMED_TEST_LONG=1 twenty of them.
"""

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from push.stand_in.account import make_service_account
from service.planning.leader import LOCK

DEATHS = 20 if os.environ.get("WELLTIMED_TEST_LONG") else 2
WITHIN_S = 1.0
STARTS_S = 120.0

# Whoever leads next finds every tick due.
ALL_DUE = "update ticks set last_run_at = '-infinity'"
NEWEST = "select coalesce(max(epoch), 0) from ticks"
STANDING = (
    "select count(*) from pg_stat_activity where application_name = 'welltimed leader' and datname = current_database()"
)
HELD = "select count(*) from pg_locks where locktype = 'advisory' and objid = $1::bigint & 4294967295 and classid = $1::bigint >> 32 and granted"


@asynccontextmanager
async def worker(database: str, folder: Path) -> AsyncIterator[Process]:
    """`welltimed serve --role worker`; what is left of it at the end is killed."""
    account = folder / "account.json"
    account.write_text(json.dumps(make_service_account("http://127.0.0.1:9")))
    variables = {"DATABASE_URL": database, "DATA_DIR": str(folder), "FIREBASE_CREDENTIALS": str(account)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service.cli", "serve", "--role", "worker"),
        env=os.environ | {f"WELLTIMED_{name}": value for name, value in variables.items()},
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def until(connection: asyncpg.Connection, query: str, least: int, *arguments: int) -> None:
    async with asyncio.timeout(STARTS_S):
        while await connection.fetchval(query, *arguments) < least:
            await asyncio.sleep(0.005)


@pytest.mark.slow
@pytest.mark.timeout(1600)
async def test_when_the_leader_is_killed_the_other_ticks_within_a_second(
    connection: asyncpg.Connection, database: str, tmp_path: Path
) -> None:
    took_s: list[float] = []
    async with asyncio.timeout(1500):
        first = worker(database, tmp_path)
        leading = await first.__aenter__()
        await until(connection, NEWEST, 1)
        for _ in range(DEATHS):
            second = worker(database, tmp_path)
            standing = await second.__aenter__()
            await until(connection, STANDING, 2)
            epoch = await connection.fetchval(NEWEST)
            await connection.execute(ALL_DUE)
            leading.send_signal(signal.SIGKILL)
            began = time.monotonic()
            await until(connection, NEWEST, epoch + 1)
            took_s.append(time.monotonic() - began)
            assert await connection.fetchval(HELD, LOCK) == 1
            await first.__aexit__(None, None, None)
            first, leading = second, standing
        await first.__aexit__(None, None, None)
    took_s.sort()
    told = {"deaths": DEATHS, "median_s": round(took_s[DEATHS // 2], 3), "longest_s": round(took_s[-1], 3)}
    sys.stdout.write(json.dumps(told) + "\n")
    assert took_s[-1] < WITHIN_S
