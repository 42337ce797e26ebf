"""The migration runner against a real server: order, refusals, two at once, and statements outside of a transaction."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from service.store import migrate as runner
from service.store import session_lock
from service.store.migrate import MigrationError, default_folder, migrate, pending

UP = "-- why\n-- migrate:up\n"
ALONE = "-- why\n-- migrate:up transaction:false\n"


@pytest_asyncio.fixture
async def conn(empty_database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(empty_database)
    yield connection
    await connection.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_shops.sql").write_text(UP + "create table shops (shop_id int primary key, town text);")
    (tmp_path / "0002_stock.sql").write_text(UP + "create table stock (n int); insert into stock values (1);")
    return tmp_path


async def count(conn: asyncpg.Connection, table: str) -> int:
    rows: int = await conn.fetchval(f"select count(*) from {table}")
    return rows


async def test_applies_in_order_once_and_says_what(conn: asyncpg.Connection, folder: Path) -> None:
    assert await pending(conn, folder) == ["0001_shops", "0002_stock"]
    assert await migrate(conn, folder) == ["0001_shops", "0002_stock"]
    assert await pending(conn, folder) == []
    assert await migrate(conn, folder) == []
    assert await count(conn, "stock") == 1
    (folder / "0003_more.sql").write_text(UP + "insert into stock values (2);")
    assert await pending(conn, folder) == ["0003_more"]
    assert await migrate(conn, folder) == ["0003_more"]


async def test_the_program_s_own_migrations_apply_to_an_empty_database(empty_database: str) -> None:
    names = sorted(file.stem for file in default_folder().glob("*.sql"))
    assert await migrate(empty_database) == names
    assert await migrate(empty_database) == []


async def test_an_edited_file_is_refused(conn: asyncpg.Connection, folder: Path) -> None:
    await migrate(conn, folder)
    with (folder / "0001_shops.sql").open("a") as file:
        file.write("\n-- one comment more")
    (folder / "0003_more.sql").write_text(UP + "insert into stock values (2);")
    for attempt in (migrate(conn, folder), pending(conn, folder)):
        with pytest.raises(MigrationError, match="0001_shops was edited"):
            await attempt
    assert await count(conn, "stock") == 1


async def test_a_database_newer_than_the_program_is_refused(conn: asyncpg.Connection, folder: Path) -> None:
    await migrate(conn, folder)
    (folder / "0002_stock.sql").unlink()
    with pytest.raises(MigrationError, match="newer than the program: it has 0002_stock"):
        await migrate(conn, folder)


async def test_a_file_before_the_last_applied_is_refused(conn: asyncpg.Connection, folder: Path) -> None:
    (folder / "0002_stock.sql").rename(folder / "0003_stock.sql")
    await migrate(conn, folder)
    (folder / "0002_late.sql").write_text(UP + "select 1;")
    with pytest.raises(MigrationError, match="0002_late comes before 0003_stock"):
        await migrate(conn, folder)


async def test_a_failing_file_leaves_nothing_and_keeps_those_before(conn: asyncpg.Connection, folder: Path) -> None:
    (folder / "0003_bad.sql").write_text(UP + "create table half (n int); select 1 / 0;")
    with pytest.raises(MigrationError, match="0003_bad failed: division by zero"):
        await migrate(conn, folder)
    assert await conn.fetchval("select to_regclass('half') is null")
    assert await pending(conn, folder) == ["0003_bad"]
    # The lock is free again: the corrected file goes in at once.
    (folder / "0003_bad.sql").write_text(UP + "create table half (n int);")
    assert await migrate(conn, folder, lock_wait_s=0) == ["0003_bad"]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("0009-dash.sql", UP + "select 1", "is not named"),
        ("9_short.sql", UP + "select 1", "is not named"),
        ("0001_again.sql", UP + "select 1", "same number"),
        ("0009_headless.sql", "select 1", "0 lines"),
        ("0009_twice.sql", UP + "select 1;\n" + UP + "select 2", "2 lines"),
        ("0009_empty.sql", UP + "  \n", "no SQL"),
        ("0009_option.sql", "-- migrate:up transaction:maybe\nselect 1", "only the option"),
    ],
)
async def test_a_malformed_file_stops_everything(
    conn: asyncpg.Connection, folder: Path, name: str, text: str, complaint: str
) -> None:
    (folder / name).write_text(text)
    with pytest.raises(MigrationError, match=complaint):
        await migrate(conn, folder)
    assert await conn.fetchval("select to_regclass('shops') is null")


async def test_two_at_once_with_an_index_made_concurrently(empty_database: str, folder: Path) -> None:
    (folder / "0003_fill.sql").write_text(UP + "insert into shops select n, n::text from generate_series(1, 2000) n;")
    (folder / "0004_index.sql").write_text(ALONE + "create index concurrently shops_town on shops (town);")
    # The second runner connects while the first is at work: neither may block nor apply anything twice.
    results = await asyncio.wait_for(asyncio.gather(*(migrate(empty_database, folder) for _ in range(3))), 30)
    assert sorted(map(len, results)) == [0, 0, 4]
    conn = await asyncpg.connect(empty_database)
    assert await conn.fetchval("select indisvalid from pg_index where indexrelid = 'shops_town'::regclass")
    await conn.close()


async def test_waiting_for_the_lock_ends_in_words(empty_database: str, conn: asyncpg.Connection, folder: Path) -> None:
    await session_lock.try_lock(conn, runner.LOCK)
    with pytest.raises(MigrationError, match="Another process"):
        await migrate(empty_database, folder, lock_wait_s=0.2)


async def test_a_file_without_transaction_holds_one_statement(conn: asyncpg.Connection, folder: Path) -> None:
    (folder / "0003_two.sql").write_text(ALONE + "insert into stock values (2); insert into stock values (3);")
    with pytest.raises(MigrationError, match="0003_two failed: cannot insert multiple commands"):
        await migrate(conn, folder)
    assert await count(conn, "stock") == 1


async def test_an_invalid_index_is_not_taken_for_success(conn: asyncpg.Connection, folder: Path) -> None:
    (folder / "0003_same.sql").write_text(UP + "insert into stock values (1);")
    (folder / "0004_unique.sql").write_text(ALONE + "create unique index concurrently if not exists one on stock (n);")
    with pytest.raises(MigrationError, match="0004_unique failed: could not create unique index"):
        await migrate(conn, folder)
    # The failed attempt left the index behind, invalid: `if not exists` now succeeds without making it.
    with pytest.raises(MigrationError, match="invalid indexes: drop one"):
        await migrate(conn, folder)
    await conn.execute("drop index one; delete from stock where ctid = (select min(ctid) from stock)")
    assert await migrate(conn, folder) == ["0004_unique"]


async def test_a_lock_of_the_application_is_not_waited_for_without_end(
    empty_database: str, conn: asyncpg.Connection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(conn, folder)
    (folder / "0003_wider.sql").write_text(UP + "alter table shops add column street text;")
    monkeypatch.setattr(runner, "BOUND_WAITS", runner.BOUND_WAITS.replace("30s", "100ms"))
    async with conn.transaction():
        await conn.execute("select * from shops")
        with pytest.raises(MigrationError, match="0003_wider failed: canceling statement due to lock timeout"):
            await migrate(empty_database, folder)
    assert await migrate(empty_database, folder) == ["0003_wider"]


async def test_a_connection_in_a_transaction_is_refused(conn: asyncpg.Connection, folder: Path) -> None:
    async with conn.transaction():
        with pytest.raises(MigrationError, match="not in a transaction"):
            await migrate(conn, folder)
