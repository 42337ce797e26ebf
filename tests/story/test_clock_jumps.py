"""The clock of the whole machine is set an hour ahead and back again under load: nothing is lost, counted or sent twice, and nothing waits for an hour.

Then it leaps ahead by weeks: what is young stays.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from loadtest.faults import load, recovery, town
from loadtest.faults.caller import Caller
from loadtest.faults.installation import Installation, running
from loadtest.faults.ledger import Ledger
from loadtest.faults.recovery import Recovery
from loadtest.faults.wall_clock import WallClock
from tests.parts import CC, needs_cc

SEED: Final = "clock"
RIGHT: Final = timedelta()
HOUR: Final = timedelta(hours=1)
WEEKS: Final = timedelta(weeks=3)
LIVED_S: Final = 4.0
"""For so long each time is lived under load."""
SOON_S: Final = 60.0
"""Ticks that come every five seconds come twice in it, and a snapshot once, however busy the machine."""

_TOLD_AHEAD: Final = """
    select (select count(*) from events where received_at > now() + interval '30 minutes'),
           (select count(*) from outbox where state = 3 and settled_at > now() + interval '30 minutes')
"""
_KEPT: Final = """
    select (select count(*) from event_keys), (select count(*) from event_log), (select count(*) from snapshots),
           (select count(*) from idempotency_keys)
"""


@needs_cc
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_clock_that_is_set_loses_nothing_and_silences_nothing(
    reachable_folder: Path, record_property: Callable[[str, object], None]
) -> None:
    ledger, clock = Ledger(), WallClock(reachable_folder, CC)
    async with running(reachable_folder, 2, {}, surroundings=clock.environment) as installation:
        built = town.plan(150.0)  # people may get so many pushes that some are set off at each time
        await town.build(load.caller_of(installation, ledger, SEED, "operator"), built)
        told: list[tuple[int, ...]] = []

        async def doing(probe: Caller) -> list[Recovery]:
            found = [await set_to(clock, RIGHT, installation, probe)]
            found.append(await set_to(clock, HOUR, installation, probe))
            found.append(await set_to(clock, RIGHT, installation, probe))
            told.append(await numbers(installation, _TOLD_AHEAD))
            await goes_on(installation, probe)
            return found

        recoveries = await load.under_load(installation, ledger, built, SEED, doing)
        clock.set(HOUR)  # it has passed: what was planned meanwhile is due
        verdict, pushes = await load.judge(installation, ledger, built, SEED)
        record_property("told_ahead", told)
        record_property("pushes", pushes)
        record_property("writes_s", [round(one.writes_s, 2) for one in recoveries])
        assert verdict.is_clean, verdict.examples
        assert recovery.late(recoveries) == []
        assert all(told[0]), "nothing was told, decided or sent while the clock was ahead"
        await leaps(clock, installation, load.caller_of(installation, ledger, SEED, "operator"))
    assert "Traceback" not in (reachable_folder / "serve.log").read_text(errors="replace")


async def set_to(clock: WallClock, ahead: timedelta, installation: Installation, probe: Caller) -> Recovery:
    """Sets it, lives for a while, and sees that all is well."""
    clock.set(ahead)
    recovered = await recovery.wait(installation, probe, (f"set to {ahead}",), 0.0)
    await asyncio.sleep(LIVED_S)
    return recovered


async def goes_on(installation: Installation, probe: Caller) -> None:
    """What comes again and again does: ticks, and snapshots while there is something to learn."""
    swept = await metric(probe, "welltimed_ticks_total", 'name="sweep_leases"')
    (version,) = await numbers(installation, "select max(version) from snapshots")
    async with asyncio.timeout(SOON_S):
        while await metric(probe, "welltimed_ticks_total", 'name="sweep_leases"') < swept + 2:
            await asyncio.sleep(0.2)
        while (await numbers(installation, "select max(version) from snapshots"))[0] == version:
            await asyncio.sleep(0.2)


async def leaps(clock: WallClock, installation: Installation, operator: Caller) -> None:
    """Further than keys, log and snapshots are kept: the leader sees it, and forgets nothing."""
    before = await numbers(installation, _KEPT)
    assert all(before)
    clock.set(WEEKS)
    async with asyncio.timeout(SOON_S):
        while not await metric(operator, "welltimed_failures_total", 'what="clock_ahead"'):
            await asyncio.sleep(0.2)
    swept = await metric(operator, "welltimed_ticks_total", 'name="sweep_leases"')
    async with asyncio.timeout(SOON_S):
        while await metric(operator, "welltimed_ticks_total", 'name="sweep_leases"') < swept + 2:
            await asyncio.sleep(0.2)
    after = await numbers(installation, _KEPT)
    assert all(left >= had for had, left in zip(before, after, strict=True)), (before, after)


async def numbers(installation: Installation, statement: str) -> tuple[int, ...]:
    connection: Any = await asyncpg.connect(installation.dsn)
    try:
        return tuple(await connection.fetchrow(statement))
    finally:
        await connection.close()


async def metric(caller: Caller, name: str, label: str) -> float:
    """The sum over all processes."""
    lines = str((await caller.call("GET", "/metrics")).body).splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name + "{") and label in line)
