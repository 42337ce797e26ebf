"""A soak: days long ago, then days of traffic on a hastened clock, then rest and audit."""

import asyncio
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from loadtest import wire
from loadtest.faults import schedule
from loadtest.faults.caller import Caller
from loadtest.faults.installation import Installation, fresh_folder, running
from loadtest.soak import audit, errors, explained, exposition, hastened, past, report, sampling, shop, traffic
from loadtest.soak.pacing import Pacing
from loadtest.soak.plan import BEGINS_AT, Plan, SoakClock, check_room
from loadtest.soak.report import Report
from loadtest.soak.told import Told
from loadtest.soak.watch import Watch

APPS: Final = 2
STATEMENTS_PER_EVENT: Final = 0.1
EXPLAINED_AIM: Final = 30_000
"""So many statements should be explained in a run, or one in twenty in a short one."""
EXPLAINED_SHARE_MAX: Final = 0.05

Say = Callable[[str], None]


async def run(plan: Plan, say: Say) -> Report:
    """Starts an installation of its own, and judges it when the days have gone by.

    Raises:
        NoRoomError: the disk has no room for it.
        NotServedError, NotSetUpError, Unanswered: it did not serve; also in a group.
    """
    async with fresh_folder() as folder:
        check_room(plan, folder)
        settings = {"SEED": plan.seed}
        days = []
        for ago in past.LONG_AGO:
            days += await _long_ago(plan, folder, settings, BEGINS_AT - ago, say)
        clock = SoakClock(BEGINS_AT, datetime.now(UTC) + timedelta(seconds=plan.lead_s), plan.pace)
        async with running(folder, plan.workers, settings | {"HASTENED_CLOCK": clock.setting}) as installation:
            say(f"day 0, {plan.pace:.0f} times as fast as the real one")
            made = await _days(plan, installation, clock, days, say)
            made.log = errors.read(folder / "serve.log")
        return report.finished(made)


async def _long_ago(plan: Plan, folder: Path, settings: dict[str, str], day: datetime, say: Say) -> list[str]:
    """A little traffic on a day long ago; gives the partitions that there are."""
    short, told = past.on_a_day(plan), Told()
    clock = SoakClock(day, datetime.now(UTC), short.pace)
    async with running(folder, 1, settings | {"HASTENED_CLOCK": clock.setting}) as installation:
        await explained.begin(installation.dsn, min(EXPLAINED_SHARE_MAX, _share(plan)))
        await hastened.autovacuum(installation.dsn)
        if day == BEGINS_AT - past.LONG_AGO[0]:
            operator = _caller(installation, told, plan.seed, "operator")
            await shop.build(operator, wire.Caller(installation.port, installation.key), plan, BEGINS_AT)
        await _traffic(short, installation, told, Pacing(short, clock, told))
        connection = await explained.unexplained(installation.dsn)
        try:
            await audit.at_rest(connection)
            say(f"served {day:%Y-%m-%d}")
            return await past.days(connection)
        finally:
            await connection.close()


async def _days(plan: Plan, installation: Installation, clock: SoakClock, made: list[str], say: Say) -> Report:
    told = Told()
    connection = await explained.unexplained(installation.dsn)
    try:
        callers = [_caller(installation, told, plan.seed, f"phones-{n}") for n in range(plan.lanes)]
        await shop.give_phones(callers, plan)
        began, pacing = time.monotonic(), Pacing(plan, clock, told)
        watch = Watch(plan, installation, connection, told, pacing, say)
        before = await sampling.tables(connection)
        watching = asyncio.create_task(watch.work())
        with pacing.ended_by_signals():
            await _traffic(plan, installation, told, pacing)
            await watching
        seconds, days = time.monotonic() - began, clock.days_since(clock.shown)
        say("all is told, waiting for rest")
        await audit.at_rest(connection)
        await watch.look()
        metrics = await exposition.read(installation.port)
        counted = exposition.total(metrics, "welltimed_folded_entries_total")
        accepted = metrics.get('welltimed_pushes_total{outcome="accepted"}', 0.0)
        books = await audit.audit(connection, told, clock, made, counted, accepted)
        after = await sampling.tables(connection)
        return report.made(plan, seconds, days, told, pacing.held_s, watch, books, before, after)
    finally:
        await connection.close()


async def _traffic(plan: Plan, installation: Installation, told: Told, pacing: Pacing) -> None:
    """Until it is over."""

    def client(kind: type[Any], name: str) -> Any:
        return kind(_caller(installation, told, plan.seed, f"{name}-{pacing.clock.shown:%Y%m%d}"), told, pacing, plan)

    clients = [client(traffic.Reporter, f"reporter-{n}") for n in range(plan.lanes)]
    clients += [client(traffic.App, f"app-{n}") for n in range(APPS)]
    clients += [client(traffic.Till, "till"), client(traffic.Merchandiser, "merchandiser")]
    async with asyncio.TaskGroup() as group:
        for one in clients:
            group.create_task(one.work())


def _caller(installation: Installation, told: Told, seed: str, name: str) -> Caller:
    return Caller(installation.port, installation.key, told, schedule.random_of(seed, name))


def _share(plan: Plan) -> float:
    return EXPLAINED_AIM / (plan.events * STATEMENTS_PER_EVENT)


def new_seed() -> str:
    """Of a run that is not to be another one's again."""
    return secrets.token_hex(4)
