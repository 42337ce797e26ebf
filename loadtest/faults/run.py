"""A run of random kills: load, faults by the schedule, rest, audit."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from loadtest.faults import load, recovery, report, schedule, town
from loadtest.faults.caller import Caller
from loadtest.faults.installation import Installation, kill, serving
from loadtest.faults.ledger import Ledger
from loadtest.faults.recovery import Recovery
from loadtest.faults.report import Report
from loadtest.faults.schedule import Kill

WORKERS: Final = 2

Say = Callable[[str], None]


class Plan(NamedTuple):
    """What is to be done, and for how long the load lasts."""

    seed: str
    kills: int
    seconds: float


async def run(plan: Plan, say: Say) -> Report:
    """Starts an installation of its own, loads it, kills by the schedule, and judges.

    Raises:
        NotServedError, NotRecoveredError, NotSettledError, Unanswered: it did not come back; also in a group.
    """
    kills = schedule.draw(plan.seed, plan.kills, plan.seconds)
    say(f"seed {plan.seed}: {plan.kills} kills in {plan.seconds:.0f} s\n{schedule.in_words(kills)}")
    ledger, built = Ledger(), town.plan(plan.seconds)
    async with serving(WORKERS) as installation:
        await town.build(load.caller_of(installation, ledger, plan.seed, "operator"), built)
        say("the town stands")

        async def doing(probe: Caller) -> list[Recovery]:
            began = time.monotonic()
            recoveries = await _kill_all(installation, probe, kills, say)
            await asyncio.sleep(max(began + plan.seconds - time.monotonic(), 0.0))
            return recoveries

        recoveries = await load.under_load(installation, ledger, built, plan.seed, doing)
        say("at rest, judging")
        verdict, pushes = await load.judge(installation, ledger, built, plan.seed)
    verdict.add("recovered_late", recovery.late(recoveries))
    return Report(
        seed=plan.seed,
        seconds=plan.seconds,
        kills=sum(len(one.victims) for one in kills),
        schedule=schedule.in_words(kills).splitlines(),
        acknowledged=report.acknowledged(ledger, pushes),
        verdict=verdict,
        writes_again_s=report.quantiles(recoveries, "writes_s"),
        whole_again_s=report.quantiles(recoveries, "whole_s"),
    )


async def _kill_all(installation: Installation, probe: Caller, kills: list[Kill], say: Say) -> list[Recovery]:
    """Each at its instant, or when the one before has been recovered from."""
    began, recoveries = time.monotonic(), []
    for one in kills:
        await asyncio.sleep(max(began + one.at_s - time.monotonic(), 0.0))
        for victim in one.victims:
            _kill_one(installation, victim, probe)
        recoveries.append(await recovery.wait(installation, probe, one.victims, one.at_s))
        found = recoveries[-1]
        times = f"PostgreSQL there after {found.reached_s:.2f} s, writes after {found.writes_s:.2f} s"
        say(f"killed {' + '.join(one.victims)}: {times}, whole after {found.whole_s:.2f} s")
    return recoveries


def _kill_one(installation: Installation, victim: str, probe: Caller) -> None:
    pids = installation.pids(victim)
    if victim in {"api", "worker", "drawer"} and pids:
        pids = [probe.random.choice(pids)]
    for pid in pids:
        kill(pid)
