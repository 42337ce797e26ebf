"""A disk on which every sync takes half a second, and more asked for than it can take: refused at once, answered soon, nothing lost."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pytest

from loadtest import arrivals, wire
from loadtest.arrivals import F64
from loadtest.faults import load, recovery, town
from loadtest.faults.caller import Caller
from loadtest.faults.installation import Installation, running
from loadtest.faults.ledger import Ledger
from loadtest.faults.recovery import Recovery
from loadtest.faults.slow_disk import SlowDisk
from loadtest.open_loop import Kind, Seen, open_loop
from loadtest.target import Target
from tests.parts import CC, needs_cc

SEED: Final = "slow"
SYNC_S: Final = 0.5
ASKED_PER_S: Final = 250.0
SECONDS: Final = 10.0
CONNECTIONS: Final = 800
LONGEST_S: Final = 12.0
"""A decision waits for a lock for ten seconds at most, and for the batch before its own and its own: two syncs."""


def decisions(key: str) -> Iterator[bytes]:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    for number in count():
        body = msgspec.json.encode({"user_id": town.person(number % town.PEOPLE), "slots": 1})
        yield wire.request("POST", "/v1/decisions", headers, body)


@needs_cc
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_slow_disk_is_a_reason_to_refuse_and_not_to_wait(
    reachable_folder: Path, record_property: Callable[[str, object], None]
) -> None:
    ledger, disk = Ledger(), SlowDisk(reachable_folder, CC)
    seen: list[Seen] = []
    async with running(reachable_folder, 1, {}, surroundings=disk.environment) as installation:
        built = town.plan(30.0)
        await town.build(load.caller_of(installation, ledger, SEED, "operator"), built)

        async def doing(probe: Caller) -> Recovery:
            seen.append(await slow(installation, disk))
            return await recovery.wait(installation, probe, ("slow",), 0.0)

        recovered = await load.under_load(installation, ledger, built, SEED, doing)
        verdict, _ = await load.judge(installation, ledger, built, SEED)
    (asked,) = seen
    answered, refused = asked.latency_s[asked.is_good], asked.latency_s[asked.is_refused]
    found = {"answered": len(answered), "refused": len(refused), "of": len(asked.statuses)}
    record_property("slow_disk", found | {"answered_s": quantiles(answered), "refused_s": quantiles(refused)})
    record_property("whole_again_s", round(recovered.whole_s, 2))
    assert verdict.is_clean, verdict.examples
    assert found["answered"] + found["refused"] == found["of"], np.unique(asked.statuses, return_counts=True)
    assert found["answered"]
    assert found["refused"], "more was let in than the disk can take"
    assert asked.without_retry_after == 0
    assert max(answered) < LONGEST_S, quantiles(answered)
    assert np.median(refused) < SYNC_S, quantiles(refused)  # a refusal does not wait for the disk


async def slow(installation: Installation, disk: SlowDisk) -> Seen:
    """The disk is well again with the last request, so that all that waits then is answered."""
    await asyncio.sleep(1.0)
    kinds = (Kind("decision", 1.0, decisions(installation.key)),)
    schedule = arrivals.poisson(ASKED_PER_S, SECONDS, 1)

    async def hold_up() -> None:
        disk.delay(SYNC_S)
        await asyncio.sleep(SECONDS)
        disk.delay(0.0)

    asked = open_loop(Target("installation", installation.port, ()), kinds, schedule, connections=CONNECTIONS, seed=1)
    seen, _ = await asyncio.gather(asked, hold_up())
    return seen


def quantiles(seconds: F64) -> list[float]:
    """p50, p99 and the longest."""
    return [round(float(np.quantile(seconds, share, method="higher")), 3) for share in (0.5, 0.99, 1.0)]
