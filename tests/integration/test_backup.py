"""A backup of a database in use, restored elsewhere: what was learned, decided and told is there, nothing is sent, nothing overwritten."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from click.testing import CliRunner, Result

from push import stop
from schema.event import EventType
from service.cli import main
from service.learning.composer import Composer
from service.learning.refit import Refitter
from service.operations import backup
from service.operations import restore as restores
from service.operations.backup import BackupError
from service.store import fingerprint, migrate, snapshots
from service.store import pool as pools
from service.store.embedded import EmbeddedPostgres
from tests.integration import learning_world, push_world
from tests.integration.learning_world import HOUR, START, decide, entry, log

PEOPLE = 20
PUSHED = [1, 2, 3]
COUNTS = """
    select (select count(*) from decisions) as decisions, (select count(*) from events) as events, (select count(*) from outbox) as outbox,
           (select count(*) from event_log) as log, (select count(*) from exposures) as exposures, (select count(*) from users) as users
"""


@pytest.fixture
def server(made_root: Path, pg_bin: Path | None) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(made_root, bin_dir=pg_bin) as started:
        yield started


async def live(dsn: str) -> None:
    """People were decided for, answered, and were learned from; pushes wait."""
    await migrate.migrate(dsn)
    pool = await pools.open_pool(dsn, 4)
    try:
        async with pool.acquire() as connection:
            await learning_world.build(connection, PEOPLE)
            for user_id in range(1, PEOPLE + 1):
                await show(connection, user_id)
            stored = await push_world.campaign(connection)
            await push_world.planned(connection, stored, PUSHED)
        now = START + timedelta(days=6)
        await learning_world.learner(pool).catch_up(now)
        assert await Refitter(pool).refit_if_due(now)
        assert await Composer(pool).publish(now)
    finally:
        await pool.close()


async def show(connection: Any, user_id: int, at: datetime = START) -> None:
    decided = await decide(connection, user_id, at)
    told = [entry(user_id, EventType.ACCEPTED, at, decision_id=decided)]
    if user_id % 3 == 0:
        told.append(entry(user_id, EventType.REDEEMED, at + HOUR, decision_id=decided))
    await log(connection, *told)


async def learn_more(dsn: str) -> None:
    """What the backup has not."""
    pool = await pools.open_pool(dsn, 2)
    try:
        async with pool.acquire() as connection:
            await show(connection, 5, START + timedelta(days=1))
        await learning_world.learner(pool).catch_up(START + timedelta(days=7))
    finally:
        await pool.close()


async def facts(dsn: str) -> tuple[fingerprint.Fingerprint, dict[str, int], bytes]:
    """What was learned, how much there is, and the newest snapshot as it is stored."""
    connection = await asyncpg.connect(dsn)
    try:
        await pools.prepare(connection)
        newest = await snapshots.latest(connection)
        return (
            await fingerprint.read(connection),
            dict(await connection.fetchrow(COUNTS)),
            msgspec.msgpack.encode(newest),
        )
    finally:
        await connection.close()


async def recomposed(dsn: str, now: datetime) -> tuple[Any, ...]:
    """The posterior as the restored sums give it."""
    pool = await pools.open_pool(dsn, 2)
    try:
        assert await Composer(pool).publish(now)
        newest = await snapshots.latest(pool)
        assert newest is not None
        return newest.heads, newest.offsets
    finally:
        await pool.close()


def test_a_restored_database_has_learned_the_same_and_sends_nothing(
    server: EmbeddedPostgres, made_root: Path, reachable_folder: Path, pg_bin: Path | None
) -> None:
    asyncio.run(live(server.dsn()))
    before, begun = asyncio.run(facts(server.dsn())), datetime.now(UTC)
    described = backup.take(server, made_root, reachable_folder / "backup", pg_bin)
    assert begun <= described.begun_at <= datetime.now(UTC)
    assert described.migration == migrate.read_folder(migrate.default_folder())[-1].name
    asyncio.run(learn_more(server.dsn()))
    assert asyncio.run(facts(server.dsn()))[0] != before[0]

    root = reachable_folder / "elsewhere" / "postgres"
    report = restores.restore(reachable_folder / "backup", root, pg_bin)
    assert report.fingerprint == described.fingerprint == before[0]
    assert (report.settled.withdrawn, report.settled.unknown) == (len(PUSHED), 0)
    with EmbeddedPostgres(root, bin_dir=pg_bin) as restored:
        assert asyncio.run(facts(restored.dsn())) == before
        later = START + timedelta(days=8)
        once, again = asyncio.run(recomposed(restored.dsn(), later)), asyncio.run(recomposed(restored.dsn(), later))
        assert once == again
        asyncio.run(assert_stopped(restored.dsn()))


async def assert_stopped(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        now = await stop.read(connection)
        assert now.is_stopped
        assert now.reason.startswith("restored from a backup of ")
    finally:
        await connection.close()


def run(*words: str, **variables: str) -> Result:
    named = {f"WELLTIMED_{name}": value for name, value in variables.items()}
    return CliRunner().invoke(main, words, env=named, catch_exceptions=False)


def test_the_commands_refuse_to_overwrite_and_what_is_damaged(
    server: EmbeddedPostgres, made_root: Path, reachable_folder: Path, pg_bin: Path | None
) -> None:
    asyncio.run(migrate.migrate(server.dsn()))
    data_dir = reachable_folder / "home"
    data_dir.mkdir(mode=0o711)
    (data_dir / "postgres").symlink_to(made_root)
    folder, variables = reachable_folder / "backup", {"DATA_DIR": str(data_dir)}
    if pg_bin is not None:
        variables["POSTGRES_BIN_DIR"] = str(pg_bin)
    made = run("backup", "--to", str(folder), "--json", **variables)
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["format"] == backup.FORMAT
    assert folder.stat().st_mode & 0o777 == 0o700

    again = run("backup", "--to", str(folder), **variables)
    assert (again.exit_code, "exists" in again.output) == (1, True)
    onto = run("restore", "--from", str(folder), **variables)
    assert (onto.exit_code, "no database is ever overwritten" in onto.output) == (1, True)
    assert run("restore", "--from", str(reachable_folder), **(variables | {"DATA_DIR": "/nowhere"})).exit_code == 1
    assert run("restore", **variables).exit_code == 2

    fresh = reachable_folder / "fresh"
    restored = run("restore", "--from", str(folder), **(variables | {"DATA_DIR": str(fresh)}))
    assert restored.exit_code == 0, restored.output
    assert "sending is stopped" in restored.output

    (damaged := max((folder / "data" / "base").rglob("1259"), key=lambda path: path.stat().st_size)).chmod(0o600)
    damaged.write_bytes(b"\0" * damaged.stat().st_size)
    shutil.rmtree(fresh)
    refused = run("restore", "--from", str(folder), **(variables | {"DATA_DIR": str(fresh)}))
    assert (refused.exit_code, "pg_verifybackup" in refused.output) == (1, True)
    assert list(fresh.iterdir()) == []


def test_a_backup_of_a_later_program_and_an_outside_database_are_told_apart(reachable_folder: Path) -> None:
    (reachable_folder / backup.DESCRIPTION).write_text('{"format": 2}')
    with pytest.raises(BackupError, match="later program"):
        backup.read(reachable_folder)
    for words in (("backup", "--to", "/nowhere"), ("restore", "--from", str(reachable_folder))):
        done = run(*words, DATABASE_URL="postgresql://db.example/shop")
        assert (done.exit_code, "its own tools" in done.output) == (1, True)
    assert run("restore", "--restored", DATA_DIR=str(reachable_folder)).exit_code == 2
