"""SIGTERM of each kind of process while all that clients can ask for is asked: decisions, events, feedback, vetoes, redemptions, pushes.

tests/story/test_graceful_stop.py looks at what one client sees; here the ledger of all is held against the database.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from loadtest.faults import load, recovery, town
from loadtest.faults.caller import Caller
from loadtest.faults.installation import running
from loadtest.faults.ledger import Ledger
from loadtest.faults.recovery import Recovery

SEED: Final = "stop"
STOPPED: Final = ("api", "worker", "drawer", "api")
"""One process of each, in this order, the next when all are there again."""


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_whoever_is_told_to_stop_loses_and_doubles_nothing(
    reachable_folder: Path, record_property: Callable[[str, object], None]
) -> None:
    ledger = Ledger()
    async with running(reachable_folder, 2, {}) as installation:
        built = town.plan(60.0)
        await town.build(load.caller_of(installation, ledger, SEED, "operator"), built)

        async def doing(probe: Caller) -> list[Recovery]:
            found = []
            for role in STOPPED:
                pid = installation.pids(role)[0]
                os.kill(pid, signal.SIGTERM)
                found.append(await recovery.wait(installation, probe, (role,), 0.0))
            return found

        recoveries = await load.under_load(installation, ledger, built, SEED, doing)
        verdict, pushes = await load.judge(installation, ledger, built, SEED)
    told = {
        "events": len(ledger.events),
        "decisions": len(ledger.decisions),
        "feedback": len(ledger.feedback),
        "vetoes": len(ledger.vetoes),
        "redemptions": len(ledger.sales),
        "pushes": pushes,
    }
    record_property("acknowledged", told)
    record_property("whole_again_s", [round(one.whole_s, 2) for one in recoveries])
    assert verdict.is_clean, verdict.examples
    assert all(told.values()), told
    assert recovery.late(recoveries) == []
