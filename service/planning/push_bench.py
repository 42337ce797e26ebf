"""What sending costs on this machine: our dispatcher from claimed row to settled row beside firebase-admin's bare sending.

Both send to the same server, a process of its own on another core, over TLS and HTTP/2 on the loopback, in turns. Of ours everything
counts that the dispatcher's process does: leave of the governor, claim with the rules of contact, encoding, sending, answers, settling,
exposures into the event log. PostgreSQL works besides, and is told apart. Of firebase-admin only `send_each_async` counts, with messages
that are ready made.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import uvloop

from push.clock import standing
from push.fcm.channel import FcmChannel
from push.loopback_certificate import write_certificate
from push.sending.dispatcher import Dispatcher
from push.sending.governor import SharedGovernor
from push.stand_in.account import make_service_account
from service import garbage
from service.planning import push_bench_world
from service.planning.bench_postgres import own_postgres
from service.planning.exposure_journal import EventLogJournal
from service.store.migrate import migrate
from service.store.pool import open_pool

LANES: Final = 4
ROUNDS: Final = 3
POOL_MAX: Final = 8
REFERENCE_SHARE: Final = 10
"""The reference sends so many times fewer: it takes as long with them."""

_RATE_PER_S: Final = 1_000_000.0  # the governor is asked as always, and is not what limits


class Spent(NamedTuple):
    """What a round took."""

    messages: int
    cpu_s: float
    seconds: float
    postgres_cpu_s: float = 0.0


class _Sink(NamedTuple):
    url: str
    account: dict[str, str]
    certificate: Path


class _Outcomes(Counter[str]):
    """A meter that only counts."""

    def count(self, outcomes: Mapping[str, int]) -> None:
        self.update(outcomes)

    def rate(self, per_s: float) -> None: ...

    def alarm(self, what: str) -> None: ...


def push(messages: int) -> dict[str, float]:
    """Medians over rounds; `messages` each. Microseconds are of processor time a message.

    Raises:
        RuntimeError: a message was not accepted.
    """
    with own_postgres() as (folder, postgres), _sink(folder) as sink:
        ours, reference = uvloop.run(_rounds(postgres.dsn(), sink, folder, messages))
    return _figures(ours, reference)


async def _rounds(dsn: str, sink: _Sink, folder: Path, messages: int) -> tuple[list[Spent], list[Spent]]:
    """In turns. A round before the first warms everything up, as a first batch does that of the reference."""
    ours, reference = [], []
    await _fill(dsn, messages)
    channel = FcmChannel(sink.account, base_url=sink.url, ca_file=sink.certificate)
    await channel.open()
    async with await open_pool(dsn, POOL_MAX) as pool:
        dispatch = _Dispatch(pool, channel)
        garbage.begin()  # as the worker does
        await dispatch.round(0, messages)
        for number in range(1, ROUNDS + 1):
            ours.append(await dispatch.round(number, messages))
            fewer = max(500, messages // REFERENCE_SHARE)
            reference.append(await asyncio.to_thread(_reference, folder, sink, fewer))
    await channel.close()
    return ours, reference


class _Dispatch:
    """The dispatcher as the worker composes it."""

    def __init__(self, pool: Any, channel: FcmChannel) -> None:
        self._pool = pool
        self._outcomes = _Outcomes()
        governor = SharedGovernor(pool, channel.account, _RATE_PER_S)
        self._dispatcher = Dispatcher(pool, channel, EventLogJournal(), governor, LANES, self._outcomes)

    async def round(self, number: int, messages: int) -> Spent:
        """Everything that is due by the instant of the round."""
        now = standing(push_bench_world.NOON + number * push_bench_world.ROUND)
        self._outcomes.clear()
        postgres_cpu_s = await _cpu_s_of_postgres(self._pool)
        cpu_s, began = time.process_time(), time.perf_counter()
        while self._outcomes.total() < messages and await self._dispatcher.dispatch(now):
            pass
        cpu_s, seconds = time.process_time() - cpu_s, time.perf_counter() - began
        if self._outcomes != {"accepted": messages}:
            raise RuntimeError(f"of {messages} messages: {dict(self._outcomes)}")
        return Spent(messages, cpu_s, seconds, await _cpu_s_of_postgres(self._pool) - postgres_cpu_s)


def _figures(ours: list[Spent], reference: list[Spent]) -> dict[str, float]:
    per_cpu_s = median(spent.messages / spent.cpu_s for spent in ours)
    reference_per_cpu_s = median(spent.messages / spent.cpu_s for spent in reference)
    return {
        "messages": float(ours[0].messages),
        "messages_per_cpu_s": per_cpu_s,
        "reference_messages_per_cpu_s": reference_per_cpu_s,
        "ratio": per_cpu_s / reference_per_cpu_s,
        "messages_per_s": median(spent.messages / spent.seconds for spent in ours),
        "reference_messages_per_s": median(spent.messages / spent.seconds for spent in reference),
        "cpu_us": 1e6 / per_cpu_s,
        "reference_cpu_us": 1e6 / reference_per_cpu_s,
        "postgres_cpu_us": median(1e6 * spent.postgres_cpu_s / spent.messages for spent in ours),
        "cores": float(len(os.sched_getaffinity(0))),
    }


async def _fill(dsn: str, messages: int) -> None:
    await migrate(dsn)
    async with await open_pool(dsn, 1) as pool, pool.acquire() as connection:
        await push_bench_world.fill(connection, ROUNDS + 1, messages)


def _reference(folder: Path, sink: _Sink, messages: int) -> Spent:
    account = folder / "account.json"
    account.write_text(json.dumps(sink.account))
    # The SDK trusts what this variable says, and only what it finds at its start.
    command = ["/usr/bin/env", f"SSL_CERT_FILE={sink.certificate}", sys.executable, "-m", "push.bench.reference"]
    done = subprocess.run([*command, account, sink.url, str(messages)], capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"firebase-admin failed: {done.stderr.decode()[-1000:]}")
    return Spent(**json.loads(done.stdout))


@contextmanager
def _sink(folder: Path) -> Iterator[_Sink]:
    certificate, key = write_certificate(folder)
    command = [sys.executable, "-m", "push.bench.sink", str(certificate), str(key)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        messages_port, token_port = json.loads(process.stdout.readline())
        _part(process.pid)
        account = make_service_account(f"http://127.0.0.1:{token_port}")
        yield _Sink(f"https://127.0.0.1:{messages_port}", account, certificate)


def _part(sink_id: int) -> None:
    """Us on the first core, the sink on the last one: so that one's work is not counted as the other's waiting."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(sink_id, {cores[-1]})


async def _cpu_s_of_postgres(pool: Any) -> float:
    """Processor time of all processes of the server that live, in seconds."""
    return sum(_cpu_s(row[0]) for row in await pool.fetch("select pid from pg_stat_activity"))


def _cpu_s(process_id: int) -> float:
    try:
        fields: list[Any] = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
