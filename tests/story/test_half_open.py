"""Clients that begin and do not end, on a real server with its real deadline: they alone are closed, and others are answered meanwhile."""

import asyncio
import itertools
import re
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from loadtest import crowd, wire
from loadtest.wire import Caller
from tests.story.world import Serve, serving

CLIENTS = 200
SOONEST_S, LATEST_S = 9.0, 12.0
"""Around the deadline of 10 s, which is looked after once a second."""
PATIENCE_S = 40.0
ANSWER_S_MAX = 5.0
PAUSE_S = 0.02
COUNTED = re.compile(r'^welltimed_refused_total\{reason="slow_request"[^}]*\} (\S+)$', re.MULTILINE)
TOLD = b"HTTP/1.1 408 Request Timeout\r\n"


async def ask_until(done: asyncio.Event, caller: Caller) -> list[int]:
    """Decisions one after the other, each on a connection of its own: the statuses. Each must come within ANSWER_S_MAX."""
    found = []
    while not done.is_set():
        async with asyncio.timeout(ANSWER_S_MAX):
            found.append((await wire.ask(caller.port, decision(caller)))[0])
        await asyncio.sleep(PAUSE_S)
    return found


def decision(caller: Caller) -> bytes:
    return caller.post("/v1/decisions", b'{"user_id":"ann"}')


async def closed(clients: list[crowd.Unfinished]) -> None:
    """Returns when all are."""
    async with asyncio.timeout(PATIENCE_S):
        while any(one.closed_after_s is None for one in clients):
            await asyncio.sleep(PAUSE_S)


async def beside_half_open(caller: Caller) -> tuple[list[crowd.Unfinished], list[int], float]:
    """All of them at once; what became of them, the statuses of the others meanwhile, and for how many seconds that was."""
    done, started = asyncio.Event(), time.monotonic()
    others = asyncio.create_task(ask_until(done, caller))
    beginnings = itertools.islice(itertools.cycle(crowd.beginnings(decision(caller))), CLIENTS)
    clients = await asyncio.gather(*(crowd.begin(caller.port, beginning) for beginning in beginnings))
    try:
        await closed(clients)
    finally:
        done.set()
        statuses = await others
    return clients, statuses, time.monotonic() - started


def port_of(served: Serve) -> int:
    port = urlsplit(served.url).port
    assert port is not None
    return port


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_who_does_not_ask_to_the_end_is_closed_after_ten_seconds_and_nobody_else_waits(
    data_dir: Path, pg_bin: Path | None
) -> None:
    with serving(data_dir, pg_bin=pg_bin) as served:
        clients, statuses, seconds = asyncio.run(beside_half_open(Caller(port_of(served), served.key)))
        with served.client() as api:
            metrics = api.get("/metrics").text
    ages_s = sorted(one.closed_after_s or 0.0 for one in clients)
    assert len(clients) == CLIENTS
    since_asked_s = sorted((one.closed_after_s or 0.0) + one.asked_s for one in clients)
    assert since_asked_s[0] >= SOONEST_S, since_asked_s
    assert ages_s[-1] <= LATEST_S, ages_s
    for one in clients:
        assert one.told.startswith(TOLD) if one.beginning else one.told == b"", (one.beginning, one.told)
        assert not one.beginning or b'"code":"request_timeout"' in one.told
    assert set(statuses) == {wire.OK}
    assert len(statuses) > seconds
    assert sum(map(float, COUNTED.findall(metrics))) == CLIENTS
