"""The two ways that lead through a backup of an earlier release: today's program restores and upgrades it, the earlier one restores it and goes on."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from schema.event import EventType
from schema.snapshot import Snapshot
from service.learning.composer import Composer
from service.learning.refit import Refitter
from service.operations import backup
from service.operations import restore as restores
from service.store import fingerprint, snapshots
from service.store.embedded import EmbeddedPostgres
from service.store.fingerprint import Fingerprint
from service.store.migrate import default_folder, migrate, read_folder
from service.store.pool import open_pool, prepare
from tests.integration import learning_world
from tests.integration.learning_world import HOUR, decide, entry, log
from tests.integration.serving import serving
from tests.integration.test_upgrade import NOW, SECRET, live, of_release
from tests.story.world import REPOSITORY, environment

TODAY: Final = read_folder(default_folder())[-1].name
SUMS_ARE_KEPT_SINCE: Final = "0025"
"""The last migration that began the sums anew; one that does so again takes its place here."""
BEFORE: Final = "0060"
"""What today's program needs to back up and restore is there: with these migrations alone it does so as the release of then did."""
SHOWN_AT: Final = NOW - timedelta(days=6)
PEOPLE: Final = 20

_PEOPLE: Final = """
    insert into users (external_id, created_at) select 'learner ' || n, $2 from generate_series(1, $1) n returning user_id
"""
_OFFERS: Final = "select offer_id from offers order by offer_id"
_DECIDED_BY: Final = "select snapshot_version from decisions order by decision_id desc limit 1"
_VERSION: Final = "select max(version) from schema_migrations"


@pytest.fixture
def server(made_root: Path, pg_bin: Path | None) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(made_root, bin_dir=pg_bin) as started:
        yield started


async def used(dsn: str, folder: Path) -> None:
    """An installation of the release that had these migrations: in use, with people it has learned from."""
    await migrate(dsn, folder)
    await live(dsn)
    pool = await open_pool(dsn, 4)
    try:
        async with pool.acquire() as connection:
            people = [row[0] for row in await connection.fetch(_PEOPLE, PEOPLE, SHOWN_AT)]
            offers = [row[0] for row in await connection.fetch(_OFFERS)]
            for number, user_id in enumerate(people):
                await show(connection, user_id, offers[number % len(offers)], is_redeemed=number % 3 == 0)
        await learning_world.learner(pool).catch_up(NOW)
        assert await Refitter(pool).refit_if_due(NOW)
        assert await Composer(pool).publish(NOW)
    finally:
        await pool.close()


async def show(connection: Any, user_id: int, offer_id: int, *, is_redeemed: bool) -> None:
    decided = await decide(connection, user_id, SHOWN_AT, (offer_id,))
    told = [entry(user_id, EventType.ACCEPTED, SHOWN_AT, decision_id=decided)]
    if is_redeemed:
        told.append(entry(user_id, EventType.REDEEMED, SHOWN_AT + HOUR, decision_id=decided))
    await log(connection, *told, at=NOW)


async def learn_more(dsn: str) -> None:
    """By today's program: one more person was shown something."""
    pool = await open_pool(dsn, 2)
    try:
        async with pool.acquire() as connection:
            (one,) = await connection.fetch(_PEOPLE.replace("'learner '", "'later '"), 1, SHOWN_AT)
            offers = await connection.fetch(_OFFERS)
            await show(connection, one[0], offers[0][0], is_redeemed=True)
        assert await learning_world.learner(pool).catch_up(NOW + HOUR) == 2
    finally:
        await pool.close()


async def read(dsn: str) -> tuple[Fingerprint, Snapshot, str]:
    """What was learned, the newest snapshot, and the last migration."""
    connection = await asyncpg.connect(dsn)
    try:
        await prepare(connection)
        newest = await snapshots.latest(connection)
        assert newest is not None
        return await fingerprint.read(connection), newest, await connection.fetchval(_VERSION)
    finally:
        await connection.close()


async def serves(dsn: str, snapshot: Snapshot) -> None:
    """Today's program decides by what was learned then, and composes the same of the sums."""
    async with serving(dsn) as api:
        await api.resources.snapshot.refresh()
        api.headers["authorization"] = f"Bearer {SECRET}"
        decided = await api.post("/v1/decisions", json={"user_id": "learner 1", "slots": 1})
        assert decided.status_code == 200, decided.text
        assert await api.resources.pool.fetchval(_DECIDED_BY) == snapshot.version
        assert (await api.get("/v1/users/ada/preferences")).json()["vetoes"] == ["bread"]
        assert await Composer(api.resources.pool).publish(NOW)
        composed = await snapshots.latest(api.resources.pool)
        assert composed is not None
        assert composed.version == snapshot.version + 1
        assert (composed.heads, composed.offsets) == (snapshot.heads, snapshot.offsets)


def test_a_backup_of_an_earlier_release_is_brought_up_to_date_with_all_that_was_learned(
    server: EmbeddedPostgres, made_root: Path, reachable_folder: Path, tmp_path: Path, pg_bin: Path | None
) -> None:
    asyncio.run(used(server.dsn(), of_release(tmp_path, SUMS_ARE_KEPT_SINCE)))
    learned, snapshot, version = asyncio.run(read(server.dsn()))
    assert version.startswith(SUMS_ARE_KEPT_SINCE)
    described = backup.take(server, made_root, reachable_folder / "backup", pg_bin)
    assert (described.migration, described.fingerprint) == (version, learned)

    root = reachable_folder / "elsewhere" / "postgres"
    report = restores.restore(reachable_folder / "backup", root, pg_bin)
    assert report.fingerprint == learned
    with EmbeddedPostgres(root, bin_dir=pg_bin) as restored:
        assert asyncio.run(read(restored.dsn())) == (learned, snapshot, TODAY)
        asyncio.run(serves(restored.dsn(), snapshot))
        asyncio.run(learn_more(restored.dsn()))
        assert asyncio.run(read(restored.dsn()))[0].posterior_sha256 != learned.posterior_sha256


def program(folder: Path, last: str) -> Path:
    """A program that knows the migrations up to this number alone."""
    for name in ("bandits", "push", "schema", "service"):
        shutil.copytree(
            REPOSITORY / name, folder / name
        )  # with compiled kernels, and the instants they know their sources by
    for file in (folder / "schema" / "migrations").glob("*.sql"):
        if file.stem[:4] > last:
            file.unlink()
    return folder


def test_the_way_back_is_the_earlier_program_with_its_backup(
    server: EmbeddedPostgres, made_root: Path, reachable_folder: Path, tmp_path: Path, pg_bin: Path | None
) -> None:
    earlier, data_dir, folder = program(tmp_path, BEFORE), reachable_folder / "home", reachable_folder / "backup"
    data_dir.mkdir(mode=0o711)
    (data_dir / "postgres").symlink_to(made_root)

    def run(*words: str, at: Path = data_dir) -> subprocess.CompletedProcess[str]:
        settings = {"DATA_DIR": str(at)} | ({"POSTGRES_BIN_DIR": str(pg_bin)} if pg_bin else {})
        command = [sys.executable, "-m", "service.cli", *words]
        return subprocess.run(
            command, cwd=earlier, env=environment(**settings), capture_output=True, text=True, timeout=120, check=False
        )

    asyncio.run(used(server.dsn(), earlier / "schema" / "migrations"))
    learned, snapshot, version = asyncio.run(read(server.dsn()))
    made = run("backup", "--to", str(folder), "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["migration"] == version

    asyncio.run(migrate(server.dsn()))  # the upgrade, which somebody is not content with
    asyncio.run(learn_more(server.dsn()))
    for words in (("migrate",), ("serve", "--port", "0")):
        refused = run(*words)
        assert (refused.returncode, f"newer than the program: it has {TODAY}" in refused.stderr) == (1, True), refused

    back = run("restore", "--from", str(folder), "--json", at=reachable_folder / "back")
    assert back.returncode == 0, back.stderr
    assert json.loads(back.stdout)["fingerprint"]["posterior_sha256"] == learned.posterior_sha256
    assert asyncio.run(read(server.dsn()))[2] == TODAY  # the upgraded database is as it was
    with EmbeddedPostgres(reachable_folder / "back" / "postgres", bin_dir=pg_bin) as restored:
        assert asyncio.run(read(restored.dsn())) == (learned, snapshot, version)
        examined = json.loads(run("doctor", "--json", at=reachable_folder / "back").stdout)
        assert [one["level"] for one in examined["checks"] if one["name"] == "migrations"] == ["ok"], examined
