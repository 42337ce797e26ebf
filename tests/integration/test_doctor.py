"""`welltimed doctor`: healthy where all is well, and each thing that is not is named with what to do."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from push import stop
from push.outbox import State
from push.stand_in.account import make_service_account
from schema.event import EventType
from schema.sending import SendingSwitch
from service.cli import main
from service.doctor import credentials, examination, learning, machine, migrations, sending, server, upkeep
from service.doctor.finding import Finding, Group, is_healthy
from service.settings import Settings
from service.store import partitions_by_day
from service.store import pool as pools
from service.store.embedded import EmbeddedPostgres
from service.store.migrate import migrate
from tests.integration import learning_world, push_world
from tests.integration.learning_world import entry, log
from tests.integration.push_world import NOW


@pytest_asyncio.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await pools.open_pool(database, 2)
    yield opened
    await opened.close()


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    named = {finding.name: finding for finding in findings}
    assert len(named) == len(findings)
    return named


def run(*words: str, **variables: str) -> Result:
    named = {f"WELLTIMED_{name}": value for name, value in variables.items()}
    return CliRunner().invoke(main, ("doctor", *words), env=named, catch_exceptions=False)


def test_a_good_installation_is_healthy(made_root: Path, reachable_folder: Path, pg_bin: Path | None) -> None:
    home = reachable_folder / "home"
    home.mkdir(mode=0o711)
    (home / "postgres").symlink_to(made_root)
    variables = {"DATA_DIR": str(home), "PORT": "0"} | ({"POSTGRES_BIN_DIR": str(pg_bin)} if pg_bin else {})
    before = json.loads(run("--json", **variables).stdout)
    assert before["healthy"]
    assert [check["name"] for check in before["checks"] if "not applied" in check["says"]] == ["migrations"]
    with EmbeddedPostgres(made_root, bin_dir=pg_bin) as started:
        asyncio.run(migrate(started.dsn()))
        done = run("--json", **variables)
    told = json.loads(done.stdout)
    assert (done.exit_code, told["healthy"], told["WELLTIMED_PORT"]) == (0, True, "0")
    assert {check["group"] for check in told["checks"]} == {
        *("machine", "credentials", "database", "server", "schema", "upkeep", "learning", "sending", "audit")
    }
    advised = {check["name"] for check in told["checks"] if check["level"] != "ok"}
    assert advised <= {"Firebase", "worker", "partitions", "snapshot", "disk", "kernels"}
    assert all(check["advice"] for check in told["checks"] if check["level"] != "ok")
    plain = run(**variables).stdout
    assert "ok     server, durability: what is acknowledged is on the disk" in plain
    assert "→ nothing is learned, planned or sent" in plain


def test_what_cannot_be_looked_at_is_a_finding(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    found = examination._guarded(lambda _: [1 / 0], settings)  # type: ignore[list-item]
    assert [(one.level, "ZeroDivisionError" in one.says) for one in found] == [("fail", True)]
    group = Group("g")
    assert is_healthy([group.ok("a", ""), group.warn("b", "", "")])
    assert not is_healthy([group.ok("a", ""), group.fail("b", "", "")])
    secret = run(DATABASE_URL="postgresql://me:pa/ss@word:x@127.0.0.1:nine/db", PORT="0")
    assert secret.exit_code == 1
    assert "ss@word" not in secret.output


async def test_the_server_is_judged(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    async with pool.acquire() as connection:
        found = by_name(await server.look(connection, NOW))
        assert (found["durability"].level, "fsync is off" in found["durability"].says) == ("fail", True)  # tests have
        assert (found["clock"].level, found["version"].level, found["connections"].level) == ("ok", "ok", "ok")
        monkeypatch.setattr(server, "_CLOCK", "select clock_timestamp() - interval '2 s'")
        monkeypatch.setattr(server, "CONNECTIONS_WARN", 0.0)
        monkeypatch.setattr(server, "VERSION_MIN", 990_000)
        assert found["log files"].level == "ok"
        monkeypatch.setattr(server, "WAL_KEPT_WARN", 99.0)
        found = by_name(await server.look(connection, NOW))
    assert (found["clock"].level, found["version"].level, found["connections"].level) == ("warn", "fail", "warn")
    assert (found["log files"].level, "min_wal_size" in found["log files"].advice) == ("warn", True)
    assert float(found["clock"].says.split()[3]) == pytest.approx(-2.0, abs=0.4)


async def test_the_schema_is_judged(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        now = datetime.now(UTC)
        found = by_name(await migrations.look(connection, now))
        assert (found["migrations"].level, found["partitions"].level) == ("ok", "warn")
        await partitions_by_day.ensure(connection, now)
        assert by_name(await migrations.look(connection, now))["partitions"].level == "ok"
        await learning_world.build(connection)
        await learning_world.decide(connection, 1, now - timedelta(days=9))
        found = by_name(await migrations.look(connection, now))
        assert (found["default partitions"].level, "decisions_default" in found["default partitions"].says) == (
            "warn",
            True,
        )
        await connection.execute("insert into schema_migrations (version, checksum) values ('9999_later', '')")
        (newer,) = await migrations.look(connection, now)
    assert (newer.level, "newer than the program" in newer.says) == ("fail", True)


async def test_upkeep_is_judged(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    async with pool.acquire() as connection:
        assert {one.level for one in await upkeep.look(connection, NOW)} == {"ok"}
        monkeypatch.setattr(upkeep, "AGE_WARN", 0)
        monkeypatch.setattr(upkeep, "_DEAD", "select 'outbox', 99999 where $1 + $2::float8 + $3 > 0")
        async with pool.acquire() as other, other.transaction():
            await other.execute("select 1")
            monkeypatch.setattr(upkeep, "TRANSACTION_WARN_S", 0.0)
            found = by_name(await upkeep.look(connection, NOW))
    assert {name for name, one in found.items() if one.level == "warn"} == {
        *("dead rows", "transactions", "transaction numbers")
    }


async def test_learning_is_judged(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        found = by_name(await learning.look(connection, NOW))
        assert (found["worker"].level, found["learner"].level, found["snapshot"].level) == ("warn", "ok", "warn")
        late = datetime.now(UTC) - timedelta(seconds=learning.LAG_FAIL_S + 60)
        await log(connection, entry(1, EventType.PURCHASE, late, tag_ids=(2,), local_hour=9), at=late)
        assert by_name(await learning.look(connection, NOW))["learner"].level == "warn"
        async with pool.acquire() as leader:
            assert await leader.fetchval("select pg_try_advisory_lock($1::bigint)", learning.LOCK)
            found = by_name(await learning.look(connection, NOW))
            await leader.fetchval("select pg_advisory_unlock($1::bigint)", learning.LOCK)
    assert (found["worker"].level, found["learner"].level) == ("ok", "fail")


async def test_sending_is_judged(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        assert {one.level for one in await sending.look(connection, NOW)} == {"ok"}
        await push_world.people(connection, 1)
        await push_world.planned(connection, await push_world.campaign(connection), [1])
        await connection.execute("update outbox set state = $1", State.READY)
        assert by_name(await sending.look(connection, NOW + timedelta(hours=1)))["backlog"].level == "warn"
        async with connection.transaction():
            await stop.switch(connection, SendingSwitch(is_stopped=True, reason="wrong prices"), NOW, "me")
        (stopped,) = await sending.look(connection, NOW)
    assert (stopped.level, "wrong prices" in stopped.says) == ("warn", True)


def firebase(path: Path | None, **changes: Any) -> dict[str, str]:
    settings = Settings(data_dir=Path("/nowhere"), firebase_credentials=path, **changes)
    return {one.name: one.level for one in credentials.look(settings)}


def test_credentials_are_judged(tmp_path: Path) -> None:
    assert firebase(None)["Firebase"] == "warn"
    assert firebase(tmp_path / "none.json")["Firebase"] == "fail"
    path, account = tmp_path / "account.json", make_service_account("http://127.0.0.1:1")
    path.write_text(json.dumps(account))
    levels = {}
    for mode in (0o600, 0o640, 0o644):
        path.chmod(mode)
        levels[mode] = firebase(path)["file of Firebase"]
    assert levels == {0o600: "ok", 0o640: "warn", 0o644: "fail"}
    assert firebase(path)["Firebase"] == "ok"
    path.write_text(json.dumps(account | {"private_key": "-----BEGIN"}))
    assert firebase(path)["Firebase"] == "fail"
    path.write_text(json.dumps({name: text for name, text in account.items() if name != "project_id"}))
    assert firebase(path)["Firebase"] == "fail"


def test_the_machine_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        found = by_name(machine.look(Settings(data_dir=tmp_path, port=other.getsockname()[1])))
    assert (found["port"].level, found["time zones"].level) == ("fail", "ok")
    assert by_name(machine.look(Settings(data_dir=tmp_path, host="192.0.2.1")))["port"].level == "fail"
    tmp_path.chmod(0o777)
    monkeypatch.setattr(machine, "FREE_BYTES_FAIL", 2**80)
    monkeypatch.setattr(machine, "ZONES", ("Mars/Olympus",))
    found = by_name(machine.look(Settings(data_dir=tmp_path, port=0, postgres_bin_dir=tmp_path)))
    assert {name for name, one in found.items() if one.level == "fail"} == {
        *("disk", "data directory", "time zones", "PostgreSQL binaries")
    }
