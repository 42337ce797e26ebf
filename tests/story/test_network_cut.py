"""PostgreSQL is away, or the network to it is frozen or forgets: nothing is lost or counted twice, and all is well by itself.

With WELLTIMED_TEST_LONG=1 it is away for half a minute.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import pytest

from loadtest.faults import load, recovery, town
from loadtest.faults.caller import Caller
from loadtest.faults.installation import Installation, kill, running
from loadtest.faults.ledger import Ledger
from loadtest.faults.proxy import FaultProxy, to_socket
from loadtest.faults.recovery import Recovery

SEED: Final = "network"
FROZEN_S: Final = 2.0
AWAY_S: Final = 30.0 if os.environ.get("WELLTIMED_TEST_LONG") else 5.0
REACHED_S: Final = 5.0
FORGOTTEN_S: Final = 7.0
"""Longer than it takes to notice that nobody answers."""


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_network_that_fails_loses_nothing(
    database: str, reachable_folder: Path, record_property: Callable[[str, object], None]
) -> None:
    parts, ledger = urlsplit(database), Ledger()
    where = parse_qs(parts.query)
    async with FaultProxy(to_socket(f"{where['host'][0]}/.s.PGSQL.{where['port'][0]}")).open() as proxy:
        settings = {"DATABASE_URL": f"postgresql://welltimed@127.0.0.1:{proxy.port}{parts.path}"}
        async with running(reachable_folder, 2, settings, database) as installation:
            built = town.plan(20.0)
            await town.build(load.caller_of(installation, ledger, SEED, "operator"), built)

            async def doing(probe: Caller) -> list[Recovery]:
                return [await done(fault, installation, proxy, probe) for fault in (frozen, away, forgotten)]

            recoveries = await load.under_load(installation, ledger, built, SEED, doing)
            verdict, _ = await load.judge(installation, ledger, built, SEED)
            metrics = await load.caller_of(installation, ledger, SEED, "operator").ask("GET", "/metrics")
    seconds = {one.victims[0]: (round(one.writes_s, 2), round(one.whole_s, 2)) for one in recoveries}
    record_property("writes_and_whole_again_s", seconds)
    assert verdict.is_clean, verdict.examples
    assert (
        recovery.late(recoveries) == []
    )  # the other road to PostgreSQL is open all the time: counted from the end of the fault
    assert max(one.reached_s for one in recoveries) < REACHED_S
    assert ledger.retries
    degraded = {name for name, told in ledger.decisions.items() if told.is_degraded}
    record_property("degraded", len(degraded))
    assert degraded
    assert {name for name, _, kind in ledger.feedback if kind == "shown"} & degraded, "no answer to one of them counts"
    # Each process noticed by itself that what it waited for would never come.
    silent = [line for line in str(metrics.body).splitlines() if 'what="silent_database"' in line]
    assert sum(float(line.split()[-1]) > 0 for line in silent) >= 2, silent


async def done(
    fault: Callable[[FaultProxy, Installation], Awaitable[None]],
    installation: Installation,
    proxy: FaultProxy,
    probe: Caller,
) -> Recovery:
    """Does it, and waits from the end of it until all is well."""
    await asyncio.sleep(1.0)
    await fault(proxy, installation)
    return await recovery.wait(installation, probe, (fault.__name__,), 0.0)


async def frozen(proxy: FaultProxy, installation: Installation) -> None:
    proxy.freeze()
    await asyncio.sleep(FROZEN_S)
    proxy.thaw()


async def away(proxy: FaultProxy, installation: Installation) -> None:
    """And one of the two API workers dies meanwhile, with what it has decided in its journal."""
    proxy.is_refusing = True
    proxy.cut()
    await asyncio.sleep(AWAY_S / 2)
    kill(installation.pids("api")[0])
    await asyncio.sleep(AWAY_S / 2)
    proxy.is_refusing = False


async def forgotten(proxy: FaultProxy, installation: Installation) -> None:
    proxy.forget()
    proxy.freeze()
    await asyncio.sleep(FORGOTTEN_S)
    proxy.thaw()
