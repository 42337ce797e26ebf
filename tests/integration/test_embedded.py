"""The embedded PostgreSQL on its own: what it makes, what it refuses, and in which words."""

import stat
from pathlib import Path

import asyncpg
import pytest

from service.store.account import account_for
from service.store.data_root import LOCK_TIMEOUT_S, socket_dir, start_lock
from service.store.embedded import SUPERUSER, EmbeddedPostgres
from service.store.postmaster import processes_in
from service.store.unavailable import PostgresUnavailable

# No sync to disk: none of these tests crashes a server.
FAST = {"fsync": "off"}


@pytest.fixture
def server(reachable_folder: Path, pg_bin: Path | None) -> EmbeddedPostgres:
    """Not started yet; `reachable_folder` stops it."""
    return EmbeddedPostgres(reachable_folder / "pg", bin_dir=pg_bin, settings=FAST)


def is_running(root: Path) -> bool:
    return bool(processes_in(root / "data", account_for(root / "data")))


async def ask(dsn: str, question: str) -> object:
    conn = await asyncpg.connect(dsn)
    try:
        return await conn.fetchval(question)
    finally:
        await conn.close()


async def test_start_use_stop_start_again(
    server: EmbeddedPostgres, reachable_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PostgresUnavailable, match="not been started"):
        server.dsn()
    for name, value in {"PGOPTIONS": "-c nonsense=1", "PGDATA": "/nowhere", "PGPORT": "1", "PGHOST": "nowhere"}.items():
        monkeypatch.setenv(name, value)
    server.start()
    monkeypatch.undo()

    assert await ask(server.dsn(), "select current_user || ' ' || current_database()") == "welltimed welltimed"
    assert await ask(server.dsn(), "select rolsuper or rolcreatedb from pg_roles where rolname = 'welltimed'") is False
    await ask(server.dsn(), "create table kept (n int)")
    expected = {
        "data_checksums": "on",
        "jit": "off",
        "listen_addresses": "",
        "max_connections": "200",
        "max_wal_size": "2GB",
        "min_wal_size": "2GB",
        "server_encoding": "UTF8",
        "shared_buffers": "256MB",
        "TimeZone": "UTC",
        "fsync": "off",
    }
    for name, value in expected.items():
        assert await ask(server.dsn(), f"select current_setting('{name}')") == value, name
    assert await ask(server.dsn(), "select current_setting('wal_compression')") == "off"
    assert await ask(server.dsn(), "select datcollate from pg_database where datname = 'welltimed'") == "C"

    root = reachable_folder / "pg"
    for private in (root / "sock", root / "data"):
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert list(root.glob("data.init*")) == []

    server.start()  # a second start of the same object changes nothing
    server.stop()
    assert not is_running(root)
    server.stop()
    with server:
        assert await ask(server.dsn(), "select count(*) from kept") == 0
    assert not is_running(root)


async def test_a_dropped_database_is_made_again(made_root: Path, server: EmbeddedPostgres) -> None:
    server.start()
    await ask(server.dsn("postgres", role=SUPERUSER), "drop database welltimed")
    server.start()
    assert await ask(server.dsn(), "select 1") == 1


@pytest.mark.parametrize("content", [[], ["precious.txt"], ["data"]])
def test_a_directory_that_is_not_ours_is_refused_and_left_alone(
    server: EmbeddedPostgres, reachable_folder: Path, content: list[str]
) -> None:
    root = reachable_folder / "pg"
    root.mkdir(mode=0o750)
    for name in content:
        (root / name).mkdir()
    before = root.stat()
    with pytest.raises(PostgresUnavailable, match="was not made by welltimed"):
        server.start()
    after = root.stat()
    assert (after.st_mode, after.st_uid, after.st_mtime_ns) == (before.st_mode, before.st_uid, before.st_mtime_ns)
    assert sorted(path.name for path in root.iterdir()) == content
    server.stop(force=True)
    assert sorted(path.name for path in root.iterdir()) == content


def test_a_file_in_the_place_of_the_directory_is_refused(reachable_folder: Path, pg_bin: Path | None) -> None:
    (reachable_folder / "file").touch()
    for root in (reachable_folder / "file", reachable_folder / "file" / "below"):
        with pytest.raises(PostgresUnavailable):
            EmbeddedPostgres(root, bin_dir=pg_bin).start()


def test_data_of_another_major_version_are_refused_in_words(made_root: Path, server: EmbeddedPostgres) -> None:
    version = made_root / "data" / "PG_VERSION"
    own = version.read_text()
    version.write_text("14\n")
    with pytest.raises(PostgresUnavailable, match=r"was made by PostgreSQL 14, and .* holds PostgreSQL 1\d: use the"):
        server.start()
    version.write_text(own)
    server.start()


def test_a_server_that_cannot_start_says_why(made_root: Path, server: EmbeddedPostgres, pg_bin: Path | None) -> None:
    broken = EmbeddedPostgres(made_root, bin_dir=pg_bin, settings=FAST | {"max_connections": "many"})
    with pytest.raises(PostgresUnavailable, match='invalid value for parameter "max_connections": "many"'):
        broken.start()
    server.start()


def test_binaries_that_are_none_are_named(reachable_folder: Path) -> None:
    with pytest.raises(PostgresUnavailable, match=r"lacks initdb, pg_ctl, postgres, psql"):
        EmbeddedPostgres(reachable_folder / "pg", bin_dir=reachable_folder).start()
    assert not (reachable_folder / "pg").exists()


@pytest.fixture
def awkward_root(made_root: Path) -> Path:
    return made_root.rename(made_root.parent / ("a 'b' \"c\" $HOME, 100% " + "long " * 20))


async def test_awkward_and_long_paths(awkward_root: Path, pg_bin: Path | None) -> None:
    root = awkward_root
    with EmbeddedPostgres(root, bin_dir=pg_bin, settings=FAST) as server:
        assert await ask(server.dsn(), "select 1") == 1
        sockets = socket_dir(root, account_for(root / "data"))
        assert sockets.parent == Path("/tmp")
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        assert sockets.stat().st_uid == (root / "data").stat().st_uid
    assert not sockets.exists()

    sockets.mkdir()
    sockets.chmod(0o755)  # as if somebody else had been there first
    try:
        with pytest.raises(PostgresUnavailable, match="made by somebody else"):
            server.start()
    finally:
        sockets.rmdir()


def test_waiting_for_the_start_lock_ends_in_words(reachable_folder: Path) -> None:
    assert LOCK_TIMEOUT_S >= 60
    with (
        start_lock(reachable_folder),
        pytest.raises(PostgresUnavailable, match="Another process has held"),
        start_lock(reachable_folder, timeout_s=0.1),
    ):
        pytest.fail("two hold the lock")
    with start_lock(reachable_folder, timeout_s=0):
        assert [path.name for path in reachable_folder.iterdir()] == ["start.lock"]
