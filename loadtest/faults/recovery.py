"""How long until all is well again: a write that began after the fault is acknowledged, all processes are there, and learning has caught up."""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import uuid4

import asyncpg

from loadtest.faults.caller import Caller
from loadtest.faults.installation import Installation, NotServedError

PROMISED_S: Final = 10.0
"""So soon after PostgreSQL can be reached a write is acknowledged again. What a killed server needs for its own recovery comes before."""

GIVEN_UP_S: Final = 120.0
LOOK_EVERY_S: Final = 0.05
_HEADS: Final = "select partition, seq from event_log_heads"
_BEHIND: Final = """
    select count(*) from unnest($1::smallint[], $2::bigint[]) as h(partition, seq)
      join learner_partitions p using (partition) where p.last_seq < h.seq
"""
UNREACHABLE: Final = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    NotServedError,
)


class NotRecoveredError(Exception):
    """It did not come back by itself."""


class Recovery(NamedTuple):
    """Seconds from the fault, or from the end of one that ends: until PostgreSQL answered by its own road, until a write was acknowledged,
    and until all processes worked and all told so far was learned.
    """

    victims: tuple[str, ...]
    at_s: float
    reached_s: float
    writes_s: float
    whole_s: float


def late(recoveries: Sequence[Recovery]) -> list[str]:
    """In words, each in which a write took longer than was promised."""
    return [
        f"{' + '.join(one.victims)}: a write was acknowledged {after_s:.1f} s after PostgreSQL could be reached"
        for one in recoveries
        if (after_s := one.writes_s - one.reached_s) > PROMISED_S
    ]


async def wait(installation: Installation, caller: Caller, victims: tuple[str, ...], at_s: float) -> Recovery:
    """Called right after the fault. Raises NotRecoveredError after GIVEN_UP_S."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(GIVEN_UP_S):
            reached_s, writes_s = await asyncio.gather(
                _seconds(began, _reached(installation)), _seconds(began, _write(caller))
            )
            await _all_there(installation, caller)
            await _learned(installation)
            return Recovery(victims, at_s, reached_s, writes_s, time.monotonic() - began)
    except TimeoutError:
        raise NotRecoveredError(f"not whole {GIVEN_UP_S:.0f} s after {victims}:\n{installation.log_tail()}") from None


async def _seconds(since: float, done: Awaitable[None]) -> float:
    await done
    return time.monotonic() - since


async def _reached(installation: Installation) -> None:
    """Returns when PostgreSQL has answered; the installation has no part in it."""
    while True:
        try:
            connection = await asyncpg.connect(installation.dsn, timeout=5)
            try:
                await connection.execute("select 1")
                return
            finally:
                connection.terminate()
        except UNREACHABLE:
            await asyncio.sleep(LOOK_EVERY_S)


async def _write(caller: Caller) -> None:
    """Returns when a durable event has been acknowledged; each try is on a connection of its own."""
    at = datetime.now(UTC).isoformat()
    name = str(uuid4())
    event = {"event_id": name, "user_id": "probe", "type": "app_open", "occurred_at": at, "properties": {}}
    while not (await caller.ask("POST", "/v1/events", {"sent_at": at, "batch": [event]})).is_success:
        caller.close()
        await asyncio.sleep(LOOK_EVERY_S)
    caller.ledger.events[name] = "probe"
    caller.close()


async def _all_there(installation: Installation, caller: Caller) -> None:
    """Returns when every API worker, the background worker and the drawers live and decide by a snapshot."""
    wanted = {"api": installation.workers, "worker": 1, "drawer": installation.drawers}
    while True:
        found = {role: installation.pids(role) for role in wanted}
        there = [pid for pids in found.values() for pid in pids]
        if {role: len(pids) for role, pids in found.items()} == wanted:
            answer = await caller.ask("GET", "/metrics")
            if set(there) <= _with_snapshot(str(answer.body)):
                caller.close()
                return
        caller.close()
        await asyncio.sleep(LOOK_EVERY_S)


def _with_snapshot(metrics: str) -> set[int]:
    found = set()
    for line in metrics.splitlines():
        if line.startswith("welltimed_snapshot_version{") and float(line.split()[-1]) > 0:
            found.add(int(line.partition('worker="')[2].partition('"')[0]))
    return found


async def _learned(installation: Installation) -> None:
    heads: list[Any] | None = None
    while True:
        try:
            connection = await asyncpg.connect(installation.dsn, timeout=5)
            try:
                heads = heads or await connection.fetch(_HEADS)
                columns = map(list, zip(*heads, strict=True))
                while await connection.fetchval(_BEHIND, *columns):
                    await asyncio.sleep(LOOK_EVERY_S)
                    columns = map(list, zip(*heads, strict=True))
                return
            finally:
                connection.terminate()
        except UNREACHABLE:
            await asyncio.sleep(LOOK_EVERY_S)
