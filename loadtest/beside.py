"""Another installation beside the first, in turn with it: two API workers, or a city of a million."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from statistics import median
from typing import Final

import asyncpg
import msgspec

from loadtest import cores, event_figures, processes, references, rounds, seeding, server, world
from loadtest.closed_loop import Throughput
from loadtest.cores import Cores
from loadtest.event_figures import Events
from loadtest.requests import Requests
from loadtest.rounds import Said
from loadtest.stretch import Bench
from loadtest.wire import Caller
from loadtest.world import World

SETTLE_S: Final = 2.0
EVENT_ROUNDS: Final = 2
"""For one of decisions: a second of either tells little of a machine that others share."""
BUSY: Final = 0.9
"""A core counts as busy from this share of it on, all cores together when less than 0.1 of one is idle."""
IDLE_CORES: Final = 0.1


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions in the closed loop: medians over the rounds; cores used by whom, and what bounds them."""

    per_s: float
    api_cpu_us: float
    postgres_cpu_us: float
    driver_cpu_us: float
    api_cores: float
    postgres_cores: float
    idle_cores: float
    bound_by: str
    failed: int


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """The first installation and another, in turn; `per_s_ratio` is the median over the rounds of the other's throughput ÷ the first's."""

    first: Carried
    other: Carried
    per_s_ratio: float
    cpu_ratio: float


class TwoWorkers(Beside, frozen=True, kw_only=True):
    """One API worker and two, the events that two take, and what they do with one core and with all."""

    events: Events
    cores: Cores | None


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """`disk_bytes_per_user`: names, rows, learned states and their indexes. `api_bytes_per_user`: what the API worker grew by, ÷ people asked for."""

    people: int
    offers: int
    eligible: int
    seeded_s: float
    disk_bytes_per_user: float
    api_resident_bytes: int
    api_bytes_per_user: float
    beside: Beside


@contextlib.asynccontextmanager
async def bench_of(shop: World, workers: int, said: Said) -> AsyncIterator[Bench]:
    """A server with that world in it."""
    said(f"{shop.name}: starting a server with {workers} API worker{'s' if workers > 1 else ''}")
    async with server.serving(workers) as served:
        connection = await asyncpg.connect(served.dsn)
        try:
            said(f"{shop.name}: {shop.offers} offers, {shop.people:,} people, the past of {shop.told:,} of them told")
            caller = Caller(served.port, served.key)
            await world.set_up(caller, shop, connection, datetime.now(UTC))
            await asyncio.sleep(SETTLE_S)
            yield Bench(served, shop, Requests(caller, shop, datetime.now(UTC)), connection)
        finally:
            await connection.close()


async def two_workers(first: Bench, count: int, turn_s: float, said: Said) -> TwoWorkers:
    """The same world with two API workers, beside the first with one."""
    async with bench_of(first.world._replace(name=f"{first.world.name}, two workers"), 2, said) as other:
        said("decisions of one API worker and of two, in turn")
        decided = beside_of(*await rounds.against(first, other, count, turn_s))
        said("events of two API workers, and batches, in turn")
        await references.make_tables(other.connection)
        seen = await rounds.events_against_batches(other, EVENT_ROUNDS * count, turn_s)
        said("decisions of two API workers with everything on one core, and on all, in turn")
        grown = await cores.measure(other, count, turn_s)
    return TwoWorkers(**msgspec.structs.asdict(decided), events=event_figures.of(seen), cores=grown)


async def scale(first: Bench, city: World, count: int, turn_s: float, said: Said) -> Scale:
    """A larger world beside the first."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with bench_of(city, 1, said) as other:
        seeded_s = loop.time() - started
        pid = other.served.api_pids()[0]
        before = processes.resident_bytes(pid)
        said(f"decisions of {first.world.people:,} people and of {city.people:,}, in turn")
        ours, theirs = await rounds.against(first, other, count, turn_s)
        after = processes.resident_bytes(pid)
        disk = await seeding.people_bytes(other.connection)
    asked = sum(each.answered for each in theirs)
    return Scale(
        people=city.people,
        offers=city.offers,
        eligible=city.eligible,
        seeded_s=seeded_s,
        disk_bytes_per_user=disk / city.people,
        api_resident_bytes=after,
        api_bytes_per_user=max(after - before, 0) / max(min(asked, city.people), 1),
        beside=beside_of(ours, theirs),
    )


def beside_of(first: list[Throughput], other: list[Throughput]) -> Beside:
    """From the rounds of both; of processor time, API worker and PostgreSQL together."""
    pairs = list(zip(first, other, strict=True))
    return Beside(
        first=carried(first),
        other=carried(other),
        per_s_ratio=median(theirs.per_s / ours.per_s for ours, theirs in pairs),
        cpu_ratio=median(
            (theirs.cpu_us + theirs.postgres_cpu_us) / (ours.cpu_us + ours.postgres_cpu_us) for ours, theirs in pairs
        ),
    )


def carried(seen: list[Throughput]) -> Carried:
    """Medians of rounds."""
    api_cores = median(each.server_cpu_s / each.seconds for each in seen)
    idle_cores = median(each.idle_s / each.seconds for each in seen)
    return Carried(
        per_s=median(each.per_s for each in seen),
        api_cpu_us=median(each.cpu_us for each in seen),
        postgres_cpu_us=median(each.postgres_cpu_us for each in seen),
        driver_cpu_us=median(each.driver_cpu_us for each in seen),
        api_cores=api_cores,
        postgres_cores=median(each.postgres_cpu_s / each.seconds for each in seen),
        idle_cores=idle_cores,
        bound_by=_bound_by(api_cores, idle_cores),
        failed=sum(each.failed for each in seen),
    )


def _bound_by(api_cores: float, idle_cores: float) -> str:
    if idle_cores <= IDLE_CORES:
        return "the cores of the machine"
    if api_cores >= BUSY:
        return "the API worker's core"
    return "waiting for PostgreSQL to commit"
