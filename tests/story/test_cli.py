"""The command line as an operator uses it, each call a process of its own: what it prints and how it exits."""

import hashlib
import json
import socket
import subprocess
from pathlib import Path

import asyncpg
import pytest

from tests.story.world import COMMAND, REPOSITORY, environment

SECRET = "sk_a-secret-nobody-may-see-in-print"

GOOD = b"offer_id,title,tags\nmilk,Milk,milk;dairy\nbread,Bread,bread\n"
BAD = b"offer_id,title,tags,min_age\nmilk,Milk,milk,0\nbread,Bread,bread,old\n"


def welltimed(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(**variables),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_doctor_prints_every_setting_and_no_secret() -> None:
    url = "postgresql://somebody:hidden-password@127.0.0.1:9/shop"
    done = welltimed("doctor", "--json", DATABASE_URL=url, BOOTSTRAP_KEY=SECRET, PORT="8123")
    assert done.returncode == 1  # nobody answers there
    told = json.loads(done.stdout)
    assert told["WELLTIMED_PORT"] == "8123"
    assert told["WELLTIMED_BOOTSTRAP_KEY"] == "***"
    assert "127.0.0.1" in told["WELLTIMED_DATABASE_URL"]
    failed = {(check["group"], check["name"]) for check in told["checks"] if check["level"] == "fail"}
    assert ("database", "reachable") in failed
    assert told["healthy"] is False
    plain = welltimed("doctor", DATABASE_URL=url, BOOTSTRAP_KEY=SECRET)
    assert plain.returncode == 1
    assert "WELLTIMED_WORKERS" in plain.stdout
    for secret in (SECRET, "hidden-password"):
        assert secret not in done.stdout + done.stderr + plain.stdout + plain.stderr


@pytest.mark.parametrize(
    ("variable", "text"), [("WORKRES", "2"), ("WORKERS", "many"), ("PORT", "70000"), ("BOOTSTRAP_KEY", "pk_wrong")]
)
def test_a_wrong_setting_is_named_and_exits_with_3(variable: str, text: str) -> None:
    done = welltimed("doctor", **{variable: text})
    assert done.returncode == 3
    assert f"WELLTIMED_{variable}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_role_alone_needs_a_database() -> None:
    done = welltimed("serve", "--role", "worker")
    assert done.returncode == 3
    assert "WELLTIMED_DATABASE_URL" in done.stderr


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://somebody:hidden-password@127.0.0.1:1/shop",
        "postgresql://somebody:hidden-password@/shop?sslmode=perhaps",
        "mysql://somebody:hidden-password@127.0.0.1/shop",
    ],
)
@pytest.mark.parametrize("command", [("migrate",), ("serve", "--port", "0")], ids=["migrate", "serve"])
def test_a_database_that_cannot_be_reached_is_told_in_one_line(command: tuple[str, ...], address: str) -> None:
    done = welltimed(*command, DATABASE_URL=address)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("welltimed: ")
    assert done.stderr.count("\n") == 1
    assert "hidden-password" not in done.stderr


async def test_a_port_that_is_taken_is_told_in_one_line(database: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = welltimed("serve", "--port", str(taken.getsockname()[1]), DATABASE_URL=database)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("welltimed: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [("sending", "stop", "--reason", "wrong prices"), ("keys", "create")],
    ids=["sending", "keys"],
)
def test_no_empty_database_is_made_where_another_is_meant(command: tuple[str, ...], tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    done = welltimed(*command, DATA_DIR=str(elsewhere))
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"welltimed: {elsewhere} holds no database. Set WELLTIMED_DATA_DIR ")
    assert not elsewhere.exists()


async def test_migrate_and_a_key(empty_database: str) -> None:
    first = welltimed("migrate", DATABASE_URL=empty_database)
    assert first.returncode == 0, first.stderr
    assert "0001_catalogue" in first.stdout
    again = welltimed("migrate", DATABASE_URL=empty_database)
    assert (again.returncode, again.stdout) == (0, "up to date\n")

    made = welltimed("keys", "create", "--scope", "ingest", "--scope", "users", "--json", DATABASE_URL=empty_database)
    assert made.returncode == 0, made.stderr
    told = json.loads(made.stdout)
    assert (told["kind"], told["scopes"]) == ("sk", ["ingest", "users"])
    connection = await asyncpg.connect(empty_database)
    try:
        kept = await connection.fetchrow("select key_id, secret_sha256, scopes from api_keys")
    finally:
        await connection.close()
    assert str(kept["key_id"]) == told["key_id"]
    assert kept["secret_sha256"] == hashlib.sha256(told["secret"].encode()).digest()
    assert welltimed("keys", "create", "--scope", "everything", DATABASE_URL=empty_database).returncode == 2


async def test_offers_import_tells_line_and_column(database: str, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_bytes(GOOD)
    bad.write_bytes(BAD)

    refused = welltimed("offers", "import", str(bad), DATABASE_URL=database)
    assert refused.returncode == 1
    assert f"{bad}:3: min_age: " in refused.stdout
    assert "nothing was written" in refused.stdout
    told = json.loads(welltimed("offers", "import", str(bad), "--json", DATABASE_URL=database).stdout)
    assert [(error["line"], error["column"]) for error in told["errors"]] == [(3, "min_age")]

    tried = welltimed("offers", "import", str(good), "--dry-run", DATABASE_URL=database)
    assert tried.returncode == 0, tried.stderr
    assert await offers_in(database) == []

    done = json.loads(welltimed("offers", "import", str(good), "--json", DATABASE_URL=database).stdout)
    assert (done["rows"], done["new"]) == (2, 2)
    assert await offers_in(database) == ["bread", "milk"]
    again = json.loads(welltimed("offers", "import", str(good), "--json", DATABASE_URL=database).stdout)
    assert (again["new"], again["changed"], again["unchanged"]) == (0, 0, 2)


async def offers_in(dsn: str) -> list[str]:
    connection = await asyncpg.connect(dsn)
    try:
        return [row[0] for row in await connection.fetch("select external_id from offers order by 1")]
    finally:
        await connection.close()
