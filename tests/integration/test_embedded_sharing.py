"""Several processes on one embedded PostgreSQL, and what is left after kill -9 of any of them."""

import asyncio
import os
import signal
import subprocess
import time
from pathlib import Path

import asyncpg
import pytest

from service.store.account import account_for
from service.store.embedded import EmbeddedPostgres
from service.store.postmaster import processes_in, read_pid_file
from tests.integration.embedded_process import UserProcess

ENDED_S_MAX = 60.0


@pytest.fixture
def root(reachable_folder: Path) -> Path:
    return reachable_folder / "pg"


@pytest.fixture
def server(made_root: Path, pg_bin: Path | None) -> EmbeddedPostgres:
    """Started with the settings of the product: these tests are about what is on disk."""
    embedded = EmbeddedPostgres(made_root, bin_dir=pg_bin)
    embedded.start()
    return embedded


def running(root: Path) -> list[int]:
    return processes_in(root / "data", account_for(root / "data"))


def kill_all(root: Path) -> None:
    while pids := running(root):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.01)


def test_four_start_at_once_and_the_last_stops_it(root: Path, pg_bin: Path | None) -> None:
    users = [UserProcess(root, pg_bin) for _ in range(4)]
    try:
        assert len({user.wait_until_ready() for user in users}) == 1
        users[0].leave()
        users[1].leave()
        assert running(root)
        users[2].kill()
        assert running(root)
        users[3].leave()
        assert running(root) == []
    finally:
        for user in users:
            user.process.kill()
            user.process.communicate()


def test_after_kill_of_its_only_user_the_next_one_stops_the_server(made_root: Path, pg_bin: Path | None) -> None:
    root = made_root
    first = UserProcess(root, pg_bin)
    before = first.wait_until_ready()
    first.kill()
    assert running(root)
    second = UserProcess(root, pg_bin)
    assert second.wait_until_ready() == before
    second.leave()
    assert running(root) == []


def test_kill_in_the_middle_of_initdb_leaves_no_half_cluster(root: Path, pg_bin: Path | None) -> None:
    first = UserProcess(root, pg_bin)
    while not list(root.glob("data.init*/base/1/PG_VERSION")):
        assert first.process.poll() is None
        time.sleep(0.002)
    first.kill()
    assert not (root / "data").exists()
    second = UserProcess(root, pg_bin)
    second.wait_until_ready()
    second.leave()
    assert running(root) == []


async def write_until_killed(dsn: str, acknowledged: list[int], under_way: asyncio.Event) -> None:
    """Appends every number whose COMMIT was answered to `acknowledged`; `under_way` after 200 of them."""
    conn = await asyncpg.connect(dsn)
    number = 0
    try:
        while True:
            number += 1
            await conn.execute("insert into rows_written values ($1)", number)
            acknowledged.append(number)
            if number == 200:
                under_way.set()
    # asyncpg 0.32 raises the internal one when the server's farewell arrives between two statements.
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
        conn.terminate()


@pytest.mark.parametrize("victims", ["postmaster", "everything"])
async def test_acknowledged_rows_survive_kill(server: EmbeddedPostgres, root: Path, victims: str) -> None:
    conn = await asyncpg.connect(server.dsn())
    await conn.execute("create table rows_written (number int)")
    await conn.close()
    acknowledged: list[int] = []
    under_way = asyncio.Event()
    writer = asyncio.create_task(write_until_killed(server.dsn(), acknowledged, under_way))
    await under_way.wait()
    pid_file = read_pid_file(root / "data")
    assert pid_file is not None
    if victims == "postmaster":
        os.kill(pid_file.pid, signal.SIGKILL)
    else:
        kill_all(root)
    await asyncio.to_thread(server.start)
    await writer

    conn = await asyncpg.connect(server.dsn())
    found = {row[0] for row in await conn.fetch("select number from rows_written")}
    await conn.close()
    assert found >= set(acknowledged)
    assert len(found) <= len(acknowledged) + 1  # at most the row whose answer was lost


def test_a_pid_file_that_points_at_a_stranger_is_dropped(server: EmbeddedPostgres, root: Path) -> None:
    kill_all(root)
    account = account_for(root / "data")
    identity = {"user": account.uid, "group": account.gid, "extra_groups": []} if account.is_dropped else {}
    # Of the same account: PostgreSQL takes a process it may not signal for dead, and this one for its rival.
    stranger = subprocess.Popen(["sleep", "60"], cwd="/", **identity)  # type: ignore[call-overload]  # mixed keywords
    try:
        for lock in (root / "data" / "postmaster.pid", root / "sock" / ".s.PGSQL.5432.lock"):
            lines = lock.read_text().split("\n")
            lock.write_text("\n".join([str(stranger.pid), *lines[1:]]))
        server.start()
        pid_file = read_pid_file(root / "data")
        assert pid_file is not None
        assert pid_file.pid in running(root)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_stop_with_force_ignores_the_other_users(server: EmbeddedPostgres, root: Path, pg_bin: Path | None) -> None:
    other = EmbeddedPostgres(root, bin_dir=pg_bin)
    other.start()
    server.stop()
    assert running(root)
    server.stop(force=True)
    assert running(root) == []
    other.stop()


async def test_what_a_dead_postmaster_left_and_does_not_end_is_ended(server: EmbeddedPostgres, root: Path) -> None:
    """As a checkpointer in the middle of its syncs, on a slow disk: a start would wait for it for minutes."""
    connection = await asyncpg.connect(server.dsn())
    await connection.execute("create table kept as select 1 as n")
    stuck = connection.get_server_pid()
    os.kill(stuck, signal.SIGSTOP)
    pid_file = read_pid_file(root / "data")
    assert pid_file is not None
    os.kill(pid_file.pid, signal.SIGKILL)
    began = time.monotonic()
    await asyncio.to_thread(server.start)
    assert time.monotonic() - began < ENDED_S_MAX
    assert stuck not in running(root)
    connection.terminate()
    again = await asyncpg.connect(server.dsn())
    assert await again.fetchval("select n from kept") == 1
    await again.close()
