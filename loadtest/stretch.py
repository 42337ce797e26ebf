"""One stretch of open-loop load on a server: what arrived, how it was answered, how late the generator was, who used the cores."""

from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from loadtest import sessions
from loadtest.arrivals import F64
from loadtest.open_loop import Kind, Seen, open_loop
from loadtest.requests import Requests
from loadtest.server import Served
from loadtest.target import Target
from loadtest.usage import Meter, Usage
from loadtest.waits import Waits, quantile, waits_of
from loadtest.world import World

LATE_MAX_MS: Final = 2.0
LATE_SHARE_MAX: Final = 0.25
"""The generator's own lateness at the 99th percentile may be so much, or this share of the wait that is told, whichever is more."""


class Bench(NamedTuple):
    """A server under load, what is asked of it, and a connection to its PostgreSQL for the references and the counting."""

    served: Served
    world: World
    requests: Requests
    connection: Any

    def target(self) -> Target:
        """As the closed loop wants it."""
        return Target("server", self.served.port, self.served.api_pids(), sessions.SERVER)


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of request. `waits` are of what was admitted: answered as it should be, or failed (a wait without end).

    `statuses` counts answers by status; "0" is a connection that closed, "-1" no answer in time.
    """

    statuses: dict[str, int]
    sent: int
    answered: int
    refused: int
    failed: int
    waits: Waits | None
    refusals: Waits | None


class Driver(msgspec.Struct, frozen=True, kw_only=True):
    """The generator's own part: how long after its scheduled instant it turned to a request, in milliseconds.

    `waited_share` is the share of requests for which no connection was free: the server's slowness, counted in the waits.
    """

    late_p50_ms: float
    late_p99_ms: float
    late_max_ms: float
    bound_ms: float
    is_late: bool
    cpu_us: float
    waited_share: float


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it; `per_s` are arrivals a second on average, `answered_per_s` good answers."""

    name: str
    about: str
    per_s: float
    seconds: float
    answered_per_s: float
    kinds: dict[str, Answers]
    without_retry_after: int
    driver: Driver
    usage: Usage


async def run(
    bench: Bench, name: str, about: str, kinds: tuple[Kind, ...], schedule: F64, *, connections: int, seed: int
) -> tuple[Stretch, Seen]:
    """Loads the server along the schedule."""
    before = Meter.read(bench.served)
    seen = await open_loop(bench.target(), kinds, schedule, connections=connections, seed=seed)
    usage = Meter.read(bench.served).since(before)
    seconds = float(schedule[-1])
    stretch = Stretch(
        name=name,
        about=about,
        per_s=len(schedule) / seconds,
        seconds=seconds,
        answered_per_s=float(seen.is_good.sum()) / seconds,
        kinds={kind.name: answers_of(seen, kind.name) for kind in kinds if seen.of(kind.name).any()},
        without_retry_after=seen.without_retry_after,
        driver=driver_of(seen),
        usage=usage,
    )
    return stretch, seen


def answers_of(seen: Seen, name: str) -> Answers:
    """The figures of one kind."""
    mine, good, refused = seen.of(name), seen.is_good, seen.is_refused
    turned_away = mine & refused & ~good
    waits = np.where(good, seen.latency_s, np.inf)[mine & ~turned_away]
    statuses, counts = np.unique(seen.statuses[mine], return_counts=True)
    return Answers(
        statuses={str(status): count for status, count in zip(statuses.tolist(), counts.tolist(), strict=True)},
        sent=int(mine.sum()),
        answered=int((mine & good).sum()),
        refused=int(turned_away.sum()),
        failed=int((mine & ~good & ~refused).sum()),
        waits=waits_of(waits) if len(waits) else None,
        refusals=waits_of(seen.latency_s[turned_away]) if turned_away.any() else None,
    )


def admitted_s(seen: Seen, name: str) -> F64:
    """Waits of what was admitted of a kind, in order of arrival, in seconds; infinite for what failed."""
    chosen = seen.of(name) & ~seen.is_refused
    return np.where(seen.is_good, seen.latency_s, np.inf)[chosen]


def driver_of(seen: Seen) -> Driver:
    """The generator's own part, and whether that is too much for the waits to be believed."""
    late = np.where(np.isfinite(seen.late_s), seen.late_s, seen.schedule_s[-1])
    p99_ms = 1e3 * quantile(late, 0.99)
    told = seen.latency_s[np.isfinite(seen.latency_s)]
    wait_ms = 1e3 * quantile(told, 0.99) if len(told) else 0.0
    bound_ms = max(LATE_MAX_MS, LATE_SHARE_MAX * wait_ms)
    return Driver(
        late_p50_ms=1e3 * quantile(late, 0.5),
        late_p99_ms=p99_ms,
        late_max_ms=1e3 * float(late.max()),
        bound_ms=bound_ms,
        is_late=p99_ms > bound_ms,
        cpu_us=1e6 * seen.cpu_s / len(late),
        waited_share=float((seen.waited_s > 0).mean()),
    )
