"""The references of a run: the two reference applications as processes, and asyncpg's own batch insert."""

import asyncio
import contextlib
import itertools
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from loadtest import requests, world
from loadtest.target import Target
from loadtest.world import World
from schema.ids import uuid7

ROWS_PER_BATCH: Final = 1_000
"""The size at which `unnest` is fastest; larger batches gain nothing."""
START_TIMEOUT_S: Final = 20.0

_TABLES: Final = """
    create table if not exists load_inserts (id uuid primary key, body bytea not null);
    create table if not exists load_events (like events including all);
"""
_INSERT_EVENTS: Final = """
    insert into load_events (user_id, event_id, type, occurred_at, received_at, offer_id, decision_id, slot, properties)
    select user_id, event_id, type, occurred_at, received_at, offer_id, decision_id, slot, properties::jsonb
      from unnest($1::bigint[], $2::uuid[], $3::smallint[], $4::timestamptz[], $5::timestamptz[],
                  $6::integer[], $7::uuid[], $8::smallint[], $9::text[])
        as e(user_id, event_id, type, occurred_at, received_at, offer_id, decision_id, slot, properties)
    on conflict do nothing
"""


class _Ready(msgspec.Struct):
    port: int


async def make_tables(connection: Any) -> None:
    """The tables the references write to, beside the server's own in its PostgreSQL."""
    await connection.execute(_TABLES)


@contextlib.asynccontextmanager
async def running(name: str, answer_bytes: int, dsn: str) -> AsyncIterator[Target]:
    """Runs a reference application (`echo` or `insert`) for as long as the context is."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest.reference_apps", name, "--answer-bytes", str(answer_bytes), "--dsn", dsn),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            ready = msgspec.json.decode(await process.stdout.readline(), type=_Ready)
        yield Target(name, ready.port, (process.pid,))
    finally:
        process.stdin.close()
        await process.wait()


class Inserted(NamedTuple):
    """What came of inserting batches: rows, the seconds their statements took, and our own processor time meanwhile."""

    rows: int
    seconds: float
    client_cpu_s: float

    @property
    def per_s(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


async def batch_insert(connection: Any, shop: World, seconds: float) -> Inserted:
    """One connection inserts batches of events like those of the workload, one after the other, each a COMMIT.

    Only the statements are timed, not the making of the rows.
    """
    spent_s, cpu_s, rows = 0.0, 0.0, 0
    for columns in _batches(shop, datetime.now(UTC)):
        started, cpu_started = time.monotonic(), time.process_time()
        await connection.execute(_INSERT_EVENTS, *columns)
        spent_s += time.monotonic() - started
        cpu_s += time.process_time() - cpu_started
        rows += ROWS_PER_BATCH
        if spent_s >= seconds:
            break
    return Inserted(rows, spent_s, cpu_s)


def _batches(shop: World, now: datetime) -> Iterator[tuple[list[Any], ...]]:
    """Columns of events by the thousand, without end."""
    rng = np.random.default_rng(world.SEED + 4)
    properties = [msgspec.json.encode(each).decode() for each in requests.properties(shop, rng, ROWS_PER_BATCH)]
    occurred = [now - timedelta(seconds=each) for each in rng.uniform(1, 3_600, ROWS_PER_BATCH).tolist()]
    offers = [None if each % 2 else each + 1 for each in rng.integers(0, shop.offers, ROWS_PER_BATCH).tolist()]
    for _ in itertools.count():
        yield (
            rng.integers(1, shop.people, ROWS_PER_BATCH).tolist(),
            _event_ids(ROWS_PER_BATCH),
            [2] * ROWS_PER_BATCH,
            occurred,
            [now] * ROWS_PER_BATCH,
            offers,
            [None] * ROWS_PER_BATCH,
            [0] * ROWS_PER_BATCH,
            properties,
        )


def _event_ids(count: int) -> list[uuid.UUID]:
    """Ids in the order of time, as UUIDv7 are: random ones would make the reference's index slower than ours."""
    now = datetime.now(UTC)
    return [uuid7(now, os.urandom(10)) for _ in range(count)]
