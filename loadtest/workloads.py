"""What a day brings: the flood after a push, an import under traffic, an offer everybody wants, a worker that starts anew.

Each is given the rate that the server carries, so that it means the same on every machine.
"""

import asyncio
import os
import signal
import time
from typing import Final

import msgspec
import numpy as np

from loadtest import arrivals, stretch, wire, world
from loadtest.arrivals import F64
from loadtest.open_loop import Kind, Seen
from loadtest.server import NotServedError
from loadtest.stretch import Bench, Stretch
from loadtest.world import VIRAL_OFFER, World

CONNECTIONS: Final = 2_500
"""As many as overload has: who waits for one kind of answer must not hold up another kind."""
QUIET_SHARE: Final = 0.1
PEAK_SHARE: Final = 0.8
IMPORT_SHARE: Final = 0.4
VIRAL_SHARE: Final = 0.4
COLD_SHARE: Final = 0.3
AFTER_IMPORT_S: Final = 1.0
"""The new catalogue is taken up by then."""
AGAIN_TIMEOUT_S: Final = 180.0
LOOK_EVERY_S: Final = 0.02

_REDEEMED: Final = """
    select count(*) from redemptions r join offers o on o.offer_id = r.offer_id
     where o.external_id = $1 and r.rolled_back_at is null
"""


class Import(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions while a file of `rows` offers is imported, which took `import_s`; p99 before, and from its begin until AFTER_IMPORT_S after its end."""

    rows: int
    import_s: float
    before_p99_ms: float
    during_p99_ms: float
    stretch: Stretch


class Viral(msgspec.Struct, frozen=True, kw_only=True):
    """An offer that may be redeemed `redemptions_max` times: how often a till was told yes, and how often that is in the database."""

    redemptions_max: int
    acknowledged: int
    written: int
    stretch: Stretch


class Cold(msgspec.Struct, frozen=True, kw_only=True):
    """An API worker is killed: until it was ready again; then p99 of its first second, and of the last third of the stretch."""

    ready_again_s: float
    first_second_p99_ms: float
    later_p99_ms: float
    stretch: Stretch


async def flood(bench: Bench, carried_per_s: float, seconds: float) -> Stretch:
    """Quiet for a sixth of the time, then a push is sent: everybody opens the app at once, and fewer and fewer do."""
    ask = bench.requests
    kinds = (
        Kind("decision", 0.35, ask.decisions(), heard=ask.heard),
        Kind("events", 0.45, ask.event_batches(3)),
        Kind("feedback", 0.20, ask.feedback()),
    )
    quiet, peak = QUIET_SHARE * carried_per_s, PEAK_SHARE * carried_per_s

    def per_s(times: F64) -> F64:
        return arrivals.flood(times, quiet, peak, seconds / 6, seconds / 5)

    schedule = arrivals.varying(per_s, peak, seconds, world.SEED)
    about = (
        f"after a push: from {quiet:.0f} to {peak:.0f} requests a second at once, then half as many every "
        f"{seconds / 5:.0f} s; 35 % decisions, 45 % batches of 3 events, 20 % feedback"
    )
    return (await stretch.run(bench, "flood", about, kinds, schedule, connections=CONNECTIONS, seed=1))[0]


async def importing(bench: Bench, carried_per_s: float, rows: int, seconds: float) -> Import:
    """A merchandiser's file arrives after a third of the stretch: offers of other stores, so that as many stay eligible."""
    elsewhere = World("elsewhere", 0, 0, rows, 1, stores=1)
    table = world.offers_csv(elsewhere, prefix="new").replace(b"store-0", b"store-elsewhere")
    schedule = arrivals.poisson(IMPORT_SHARE * carried_per_s, seconds, world.SEED)
    kinds = (Kind("decision", 1.0, bench.requests.decisions()),)
    about = f"{rows} offers imported under {IMPORT_SHARE * carried_per_s:.0f} decisions a second"
    async with asyncio.TaskGroup() as group:
        upload = group.create_task(_import_after(bench, table, seconds / 3))
        run = group.create_task(stretch.run(bench, "import", about, kinds, schedule, connections=CONNECTIONS, seed=1))
    (seen, raw), (from_s, took_s) = run.result(), upload.result()
    since = raw.schedule_s
    return Import(
        rows=rows,
        import_s=took_s,
        before_p99_ms=_p99_ms(raw, since < from_s),
        during_p99_ms=_p99_ms(raw, (since >= from_s) & (since < from_s + took_s + AFTER_IMPORT_S)),
        stretch=seen,
    )


async def _import_after(bench: Bench, table: bytes, wait_s: float) -> tuple[float, float]:
    """When it began, in seconds from now, and how long it took."""
    await asyncio.sleep(wait_s)
    started = time.monotonic()
    await world.import_offers(bench.requests.caller, table)
    return wait_s, time.monotonic() - started


async def viral(bench: Bench, carried_per_s: float, seconds: float) -> Viral:
    """One limited offer: people ask for it, tills redeem what was promised to them and what they show a name for, others go on."""
    ask = bench.requests
    kinds = (
        Kind("decision", 0.4, ask.decisions()),
        Kind("viral decision", 0.3, ask.viral_decisions(), heard=ask.heard),
        Kind("redemption", 0.3, ask.redemptions(), good=(201, 409)),
    )
    schedule = arrivals.poisson(VIRAL_SHARE * carried_per_s, seconds, world.SEED)
    about = (
        f"{VIRAL_SHARE * carried_per_s:.0f} requests a second: 30 % decisions in a store with nothing but an offer that "
        f"{bench.world.viral_max} people may have, 30 % redemptions of it (refused when it is gone), 40 % other decisions"
    )
    seen, raw = await stretch.run(bench, "viral", about, kinds, schedule, connections=CONNECTIONS, seed=1)
    return Viral(
        redemptions_max=bench.world.viral_max,
        acknowledged=int((raw.statuses[raw.of("redemption")] == 201).sum()),
        written=await bench.connection.fetchval(_REDEEMED, VIRAL_OFFER),
        stretch=seen,
    )


async def cold(bench: Bench, carried_per_s: float, seconds: float) -> Cold:
    """Kills an API worker (kill -9), waits until another one is ready, and loads it at once."""
    port, pid = bench.served.port, bench.served.api_pids()[0]
    os.kill(pid, signal.SIGKILL)
    started = time.monotonic()
    while pid in bench.served.api_pids() or not await _is_ready(port):
        if time.monotonic() > started + AGAIN_TIMEOUT_S:
            raise NotServedError(f"a killed API worker was not ready again within {AGAIN_TIMEOUT_S:.0f} s")
        await asyncio.sleep(LOOK_EVERY_S)
    ready_again_s = time.monotonic() - started
    schedule = arrivals.poisson(COLD_SHARE * carried_per_s, seconds, world.SEED)
    kinds = (Kind("decision", 1.0, bench.requests.decisions()),)
    about = f"a worker that has just started, at {COLD_SHARE * carried_per_s:.0f} decisions a second"
    seen, raw = await stretch.run(bench, "cold", about, kinds, schedule, connections=CONNECTIONS, seed=1)
    return Cold(
        ready_again_s=ready_again_s,
        first_second_p99_ms=_p99_ms(raw, raw.schedule_s < 1.0),
        later_p99_ms=_p99_ms(raw, raw.schedule_s > seconds * 2 / 3),
        stretch=seen,
    )


async def _is_ready(port: int) -> bool:
    try:
        status, _ = await wire.ask(port, wire.request("GET", "/readyz", {}, b""))
    except OSError:
        return False
    return status == wire.OK


def _p99_ms(seen: Seen, chosen: np.ndarray) -> float:
    """Of those; infinite when a hundredth of them was not answered well, or there were none."""
    waits = np.where(seen.is_good, seen.latency_s, np.inf)[chosen]
    return 1e3 * float(np.quantile(waits, 0.99, method="higher")) if len(waits) else float("inf")
