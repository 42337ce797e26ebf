"""A limit on memory, and clients that make an API worker want more: the kernel ends it, it comes back, and nothing is lost."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from loadtest.faults import load, memory_group, recovery, town
from loadtest.faults.caller import Caller
from loadtest.faults.flood import flood
from loadtest.faults.installation import running
from loadtest.faults.ledger import Ledger
from loadtest.faults.memory_group import MemoryGroup, NotPermittedError
from loadtest.faults.recovery import Recovery
from tests.parts import NO_RIGHT

SEED: Final = "memory"
BYTES_MAX: Final = 600 * 2**20
"""Besides what they have when they join: two API workers that are started anew take most of it."""
CLIENTS: Final = 1_600
FLOOD_S: Final = 9.0
"""No request may take longer to arrive than ten."""


@pytest.fixture
def group() -> Iterator[MemoryGroup]:
    try:
        with memory_group.made(BYTES_MAX) as made:
            yield made
    except NotPermittedError as error:
        pytest.skip(f"{NO_RIGHT}limit memory: {error}")


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_an_api_worker_that_wants_too_much_memory_is_ended_and_nothing_is_lost(
    group: MemoryGroup, database: str, reachable_folder: Path, record_property: Callable[[str, object], None]
) -> None:
    ledger = Ledger()
    # PostgreSQL is another's, outside of the limit: it is our own processes that are to be ended.
    # What half bodies may come to is bounded long before: here it is not.
    settings = {"DATABASE_URL": database, "ARRIVING_BODIES_MIB": "4096"}
    async with running(reachable_folder, 2, settings, database) as installation:
        built = town.plan(20.0)
        await town.build(load.caller_of(installation, ledger, SEED, "operator"), built)
        group.join(installation.all_pids())

        async def doing(probe: Caller) -> Recovery:
            sent = await flood(installation.port, installation.key, CLIENTS, FLOOD_S)
            record_property("flood_sent", sent)
            return await recovery.wait(installation, probe, ("memory",), 0.0)

        recovered = await load.under_load(installation, ledger, built, SEED, doing)
        verdict, _ = await load.judge(installation, ledger, built, SEED)
        kills, most = group.kills, group.bytes_most
    record_property("killed", kills)
    record_property("bytes_most", most)
    record_property("writes_and_whole_again_s", (round(recovered.writes_s, 2), round(recovered.whole_s, 2)))
    assert verdict.is_clean, verdict.examples
    assert ledger.events
    assert most <= BYTES_MAX
    said = (reachable_folder / "serve.log").read_text(errors="replace")
    assert kills, f"the limit was not reached: {most} bytes"
    assert '"code": -9' in said, "who was ended was started again"
