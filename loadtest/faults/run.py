"""A run of random kills: load, faults by the schedule, rest, audit."""

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import asyncpg

from loadtest.faults import audit, clients, recovery, report, schedule, town
from loadtest.faults.caller import Caller
from loadtest.faults.installation import Installation, kill, serving
from loadtest.faults.ledger import Ledger
from loadtest.faults.recovery import Recovery
from loadtest.faults.report import Report
from loadtest.faults.schedule import Kill
from loadtest.faults.town import Town

WORKERS: Final = 2
REPORTERS: Final = 2
APPS: Final = 4
TILLS: Final = 2
REST_S: Final = 90.0
"""How long the learner and the dispatcher may take to come to rest after the load."""
INBOX_PAGE: Final = 1_000

_UNSETTLED: Final = """
    select (select count(*) from event_log_heads h join learner_partitions p using (partition) where h.seq <> p.last_seq)
         + (select count(*) from outbox where state in (0, 1, 2))
"""
Say = Callable[[str], None]


class Plan(NamedTuple):
    """What is to be done, and for how long the load lasts."""

    seed: str
    kills: int
    seconds: float


class NotSettledError(Exception):
    """Learning or sending did not come to rest."""


async def run(plan: Plan, say: Say) -> Report:
    """Starts an installation of its own, loads it, kills by the schedule, and judges.

    Raises:
        NotServedError, NotRecoveredError, NotSettledError, Unanswered: it did not come back.
    """
    kills = schedule.draw(plan.seed, plan.kills, plan.seconds)
    say(f"seed {plan.seed}: {plan.kills} kills in {plan.seconds:.0f} s\n{schedule.in_words(kills)}")
    ledger, built = Ledger(), town.plan(plan.seconds)
    async with serving(WORKERS) as installation:
        operator = _caller(installation, ledger, plan.seed, "operator")
        await town.build(operator, built)
        say("the town stands")
        recoveries = await _under_load(installation, ledger, built, plan, kills, say)
        say("at rest, judging")
        await _settled(installation)
        pushes = await _inbox(installation, ledger, plan.seed)
        connection = await asyncpg.connect(installation.dsn)
        try:
            verdict = await audit.audit(connection, ledger, built, pushes)
        finally:
            await connection.close()
    return Report(
        seed=plan.seed,
        seconds=plan.seconds,
        kills=sum(len(one.victims) for one in kills),
        schedule=schedule.in_words(kills).splitlines(),
        acknowledged=report.acknowledged(ledger, len(pushes)),
        verdict=verdict,
        writes_again_s=report.quantiles(recoveries, "writes_s"),
        whole_again_s=report.quantiles(recoveries, "whole_s"),
    )


def _caller(installation: Installation, ledger: Ledger, seed: str, name: str) -> Caller:
    return Caller(installation.port, installation.key, ledger, schedule.random_of(seed, name))


async def _under_load(
    installation: Installation, ledger: Ledger, built: Town, plan: Plan, kills: list[Kill], say: Say
) -> list[Recovery]:
    over, sales = asyncio.Event(), itertools.count()

    def caller(name: str) -> Caller:
        return _caller(installation, ledger, plan.seed, name)

    works = [clients.Reporter(caller(f"reporter-{n}")).work for n in range(REPORTERS)]
    works += [clients.App(caller(f"app-{n}")).work for n in range(APPS)]
    works += [clients.Till(caller(f"till-{n}"), built, sales).work for n in range(TILLS)]
    began = time.monotonic()
    async with asyncio.TaskGroup() as load:
        for work in works:
            load.create_task(work(over.is_set))
        killing = load.create_task(_kill_all(installation, caller("probe"), kills, began, say))
        await asyncio.sleep(plan.seconds)
        recoveries = await killing
        over.set()
    return recoveries


async def _kill_all(
    installation: Installation, probe: Caller, kills: list[Kill], began: float, say: Say
) -> list[Recovery]:
    """Each at its instant, or when the one before has been recovered from."""
    recoveries = []
    for one in kills:
        await asyncio.sleep(max(began + one.at_s - time.monotonic(), 0.0))
        for victim in one.victims:
            _kill_one(installation, victim, probe)
        recoveries.append(await recovery.wait(installation, probe, one.victims, one.at_s))
        found = recoveries[-1]
        say(f"killed {' + '.join(one.victims)}: writes after {found.writes_s:.2f} s, whole after {found.whole_s:.2f} s")
    return recoveries


def _kill_one(installation: Installation, victim: str, probe: Caller) -> None:
    pids = installation.pids(victim)
    if victim in {"api", "worker"} and pids:
        pids = [probe.random.choice(pids)]
    for pid in pids:
        kill(pid)


async def _settled(installation: Installation) -> None:
    """Returns when everything is learned and no push waits or is on its way."""
    deadline = time.monotonic() + REST_S
    connection = await asyncpg.connect(installation.dsn)
    try:
        while waiting := await connection.fetchval(_UNSETTLED):
            if time.monotonic() > deadline:
                raise NotSettledError(
                    f"{waiting} partitions or pushes did not come to rest:\n{installation.log_tail()}"
                )
            await asyncio.sleep(0.2)
    finally:
        await connection.close()


async def _inbox(installation: Installation, ledger: Ledger, seed: str) -> list[Any]:
    """What all phones received."""
    phones = Caller(installation.stand_in_port, "", ledger, schedule.random_of(seed, "phones"))
    received: list[Any] = []
    while True:
        after = received[-1]["sequence"] if received else 0
        page = (await phones.call("GET", f"/inbox?after={after}&limit={INBOX_PAGE}")).body["messages"]
        if not page:
            phones.close()
            return received
        received += page
