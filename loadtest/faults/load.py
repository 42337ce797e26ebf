"""Load while something is done to the server, and the judgement after it: what every run of faults has in common."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import asyncpg

from loadtest.faults import audit, clients, schedule
from loadtest.faults.caller import Caller
from loadtest.faults.installation import Installation
from loadtest.faults.ledger import Ledger
from loadtest.faults.town import Town
from loadtest.faults.verdict import Verdict

T = TypeVar("T")

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


class NotSettledError(Exception):
    """Learning or sending did not come to rest."""


def caller_of(installation: Installation, ledger: Ledger, seed: str, name: str) -> Caller:
    """A client of its own connection and random numbers."""
    return Caller(installation.port, installation.key, ledger, schedule.random_of(seed, name))


async def under_load(
    installation: Installation, ledger: Ledger, built: Town, seed: str, doing: Callable[[Caller], Awaitable[T]]
) -> T:
    """Loads until `doing`, which gets a client for its probes, is done; gives what it gives. Raises groups of what clients raise."""
    over, sales = asyncio.Event(), itertools.count()

    def caller(name: str) -> Caller:
        return caller_of(installation, ledger, seed, name)

    works = [clients.Reporter(caller(f"reporter-{n}")).work for n in range(REPORTERS)]
    works += [clients.App(caller(f"app-{n}")).work for n in range(APPS)]
    works += [clients.Viewer(caller("viewer")).work]
    works += [clients.Till(caller(f"till-{n}"), built, sales).work for n in range(TILLS)]
    async with asyncio.TaskGroup() as load:
        for work in works:
            load.create_task(work(over.is_set))
        done = await doing(caller("probe"))
        over.set()
    return done


async def judge(installation: Installation, ledger: Ledger, built: Town, seed: str) -> tuple[Verdict, int]:
    """Waits until all is at rest and audits: the verdict, and how many pushes phones received. Raises NotSettledError."""
    connection = await asyncpg.connect(installation.dsn)
    try:
        await _settled(connection, installation)
        pushes = await _inbox(installation, ledger, seed)
        return await audit.audit(connection, ledger, built, pushes), len(pushes)
    finally:
        await connection.close()


async def _settled(connection: Any, installation: Installation) -> None:
    """Returns when everything is learned and no push waits or is on its way."""
    deadline = time.monotonic() + REST_S
    while waiting := await connection.fetchval(_UNSETTLED):
        if time.monotonic() > deadline:
            raise NotSettledError(f"{waiting} partitions or pushes did not come to rest:\n{installation.log_tail()}")
        await asyncio.sleep(0.2)


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
