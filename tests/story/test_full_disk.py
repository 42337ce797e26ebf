"""The disk of everything is full, and PostgreSQL goes down by it: writes are refused in words, nothing is lost, and room is all it takes."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import asyncpg
import httpx
import pytest

from loadtest.faults import load, recovery, small_disk, town
from loadtest.faults.caller import Caller
from loadtest.faults.clients import now
from loadtest.faults.installation import Installation, kill, running
from loadtest.faults.ledger import Ledger
from loadtest.faults.recovery import Recovery
from loadtest.faults.small_disk import SmallDisk
from tests.parts import needs_mount

SEED: Final = "disk"
BYTES: Final = 800 * 2**20
FULL_S: Final = 6.0
LOOK_EVERY_S: Final = 0.05
WALS_MAX: Final = 20
STARTS_MAX: Final = 8
SIGBUS: Final = '"code": -7'
"""How a process ends that touches a page of a file for which there is no room."""


@pytest.fixture
def disk(reachable_folder: Path) -> Iterator[SmallDisk]:
    folder = reachable_folder / "data"
    folder.mkdir()
    with small_disk.mounted(folder, BYTES) as made:
        yield made


@needs_mount
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_disk_that_is_full_stops_writes_and_loses_nothing(
    disk: SmallDisk, record_property: Callable[[str, object], None]
) -> None:
    ledger, folder = Ledger(), disk.folder.parent
    async with running(folder, 2, {}) as installation:
        built = town.plan(20.0)
        await town.build(load.caller_of(installation, ledger, SEED, "operator"), built)

        async def doing(probe: Caller) -> list[Recovery]:
            found = [await full(installation, disk, probe)]
            return [*found, await down(installation, disk, probe)]

        recoveries = await load.under_load(installation, ledger, built, SEED, doing)
        verdict, _ = await load.judge(installation, ledger, built, SEED)
    seconds = {one.victims[0]: (round(one.writes_s, 2), round(one.whole_s, 2)) for one in recoveries}
    record_property("writes_and_whole_again_s", seconds)
    assert verdict.is_clean, verdict.examples
    assert recovery.late(recoveries) == []
    assert ledger.retries
    assert ledger.events
    said = (folder / "serve.log").read_text(errors="replace")
    assert SIGBUS not in said
    assert 0 < said.count("PostgreSQL does not start") <= STARTS_MAX, "it is tried again, ever less often"


async def full(installation: Installation, disk: SmallDisk, probe: Caller) -> Recovery:
    """An API worker that dies meanwhile comes back, and lives."""
    await asyncio.sleep(1.0)
    disk.fill()
    kill(installation.pids("api")[0])
    refused = await refusal(installation, disk)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5"), refused.text
    assert "disk is full" in refused.json()["detail"]
    for _ in range(int(FULL_S)):
        disk.fill()
        await asyncio.sleep(1.0)
    assert len(installation.pids("api")) == installation.workers
    disk.give_room()
    return await recovery.wait(installation, probe, ("full",), 0.0)


async def refusal(installation: Installation, disk: SmallDisk) -> httpx.Response:
    """The first of a write; until there is no page left in a table it may still succeed."""
    headers = {"authorization": f"Bearer {installation.key}"}
    address = f"http://127.0.0.1:{installation.port}"
    async with httpx.AsyncClient(base_url=address, headers=headers, trust_env=False, timeout=30) as client:
        while True:
            event = {"user_id": "somebody", "type": "app_open", "occurred_at": now(), "properties": {}}
            batch = [event | {"event_id": f"{number}-{now()}"} for number in range(200)]
            disk.fill()
            try:
                answer = await client.post("/v1/events", json={"sent_at": now(), "batch": batch})
            except httpx.TransportError:  # of the worker that was killed
                continue
            if not answer.is_success:
                return answer


async def down(installation: Installation, disk: SmallDisk, probe: Caller) -> Recovery:
    """PostgreSQL gives up when it cannot write its log, and cannot start either until there is room."""
    await asyncio.sleep(1.0)
    await use_up_log(installation, disk)
    for _ in range(int(FULL_S / LOOK_EVERY_S)):
        disk.fill()  # what it has begun to write and given up is room again
        await asyncio.sleep(LOOK_EVERY_S)
    disk.give_room()
    return await recovery.wait(installation, probe, ("down",), 0.0)


async def use_up_log(installation: Installation, disk: SmallDisk) -> None:
    connection = await asyncpg.connect(installation.dsn, user="postgres", database="postgres")
    disk.fill()
    try:
        for _ in range(WALS_MAX):
            await connection.execute("select pg_switch_wal()")
            await connection.execute("select pg_logical_emit_message(true, '', '')")
            disk.fill()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return
    finally:
        connection.terminate()
    raise AssertionError("it still writes its log")
