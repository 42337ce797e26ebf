"""What a soak has to show, each with a bound that is stated here."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from loadtest.soak import audit, exposition, plan_watch
from loadtest.soak.audit import Books
from loadtest.soak.plan_watch import Seen
from loadtest.soak.sampling import ROLES, Sample
from loadtest.soak.trend import Trend, rise, trend

MIB: Final = 2**20
SLOPE_MAX: Final = 2.0
"""MiB that memory may grow by in a million events, over the second half of the run, …"""
GROWTH_MIN: Final = 24.0
"""… if it comes to more than so many MiB: less is what allocators do."""
SESSIONS_GROWTH_MIN: Final = 64.0
"""The same of all sessions of PostgreSQL together."""
RISE_MAX: Final = {"threads": 2.0, "files": 12.0, "connections": 12.0}
"""From the second quarter of the run to the last, …"""
FILLED_FROM: Final = 1_000_000
"""… if it had so many events: in a shorter one pools are still being filled."""
LAG_S_MAX: Final = 60.0
STATEMENTS_MIN: Final = 10
"""Fewer explained statements show nothing."""


class Check(msgspec.Struct):
    """One claim and whether it held."""

    name: str
    holds: bool
    says: str


class Flow(NamedTuple):
    """Memory of a process over a run: MiB at the beginning, in the middle and at the end, and its trend."""

    name: str
    mib: tuple[float, float, float]
    slope: float | None
    growth: float | None


def flows(samples: Sequence[Sample]) -> list[Flow]:
    """Of each process that is there at the end, and of PostgreSQL's sessions: all together, and the largest."""
    found = []
    millions = [sample.events / 1e6 for sample in samples]
    for role in ROLES:
        for place, last in enumerate(samples[-1].processes[role]):
            series = [_bytes_of(sample, role, last.pid) for sample in samples]
            found.append(_flow(f"{role} {place}" if len(samples[-1].processes[role]) > 1 else role, millions, series))
    found.append(_flow("PostgreSQL sessions", millions, [sum(one.bytes for one in s.sessions) for s in samples]))
    largest = [max((one.bytes for one in s.sessions), default=0) for s in samples]
    found.append(_flow("PostgreSQL largest session", millions, largest))
    return found


def _bytes_of(sample: Sample, role: str, pid: int) -> int | None:
    return next((one.bytes for one in sample.processes[role] if one.pid == pid), None)


def _flow(name: str, millions: Sequence[float], series: Sequence[int | None]) -> Flow:
    known = [(x, y / MIB) for x, y in zip(millions, series, strict=True) if y is not None]
    mib = [y for _, y in known]
    found: Trend | None = trend([x for x, _ in known], mib)
    at = (mib[0], mib[len(mib) // 2], mib[-1])
    return Flow(name, at, found.slope if found else None, found.growth if found else None)


def checks(
    samples: Sequence[Sample], seen: Sequence[Seen], books: Books, strange: Sequence[str], errors: Sequence[str]
) -> Iterator[Check]:
    """All of them."""
    for flow in flows(samples):
        bound = SESSIONS_GROWTH_MIN if flow.name == "PostgreSQL sessions" else GROWTH_MIN
        is_flat = flow.slope is None or flow.growth is None or flow.slope <= SLOPE_MAX or flow.growth <= bound
        says = "too few samples" if flow.slope is None else f"{flow.slope:+.2f} MiB per million events"
        if flow.name != "stand-in":  # it keeps what phones receive, by design
            yield Check(f"memory flat: {flow.name}", is_flat, f"{flow.mib[0]:.0f} → {flow.mib[2]:.0f} MiB, {says}")
    yield from _held(samples)
    yield from _days(books)
    yield _plans(seen)
    yield from _failures(samples, strange, errors)
    lag = max(sample.lag_s for sample in samples)
    is_read = lag <= LAG_S_MAX and not books.unread
    yield Check(
        "the learner keeps up", is_read, f"at most {lag:.1f} s behind, {books.unread} batches unread at the end"
    )
    wrong = audit.differences(books)
    says = str(dict(wrong)) if wrong else f"{sum(books.kept.values()):,} events and answers, {books.sales_kept:,} sales"
    yield Check("nothing lost, nothing counted twice", not wrong, says)


def _held(samples: Sequence[Sample]) -> Iterator[Check]:
    series = {
        "threads": [float(sum(one.threads for found in s.processes.values() for one in found)) for s in samples],
        "files": [float(sum(one.files for found in s.processes.values() for one in found)) for s in samples],
        "connections": [s.counts["connections"] for s in samples],
    }
    for name, values in series.items():
        says = f"{values[0]:.0f} → {values[-1]:.0f}, at most {max(values):.0f}"
        is_steady = rise(values) <= RISE_MAX[name] or samples[-1].events < FILLED_FROM
        yield Check(f"{name} do not grow", is_steady, says)


def _days(books: Books) -> Iterator[Check]:
    dropped = bool(books.days_dropped) and not books.days_not_dropped
    says = f"dropped {', '.join(books.days_dropped)}" if dropped else f"still there: {books.days_not_dropped}"
    yield Check("old days are dropped", dropped, says)
    made = not books.days_missing and not books.strayed
    yield Check(
        "days are made ahead", made, f"missing {books.days_missing}, {books.strayed} rows in default partitions"
    )
    overdue = sum(books.overdue.values())
    yield Check("what is too old is purged", not overdue, ", ".join(f"{n} {c}" for n, c in books.overdue.items()))


def _plans(seen: Sequence[Seen]) -> Check:
    turned = plan_watch.turned(seen)
    count = sum(sum(one.count.values()) for one in seen)
    says = f"{count} plans of {len(seen)} statements"
    if turned:
        says = "; ".join(f"{one.scans} read whole by: {one.statement}" for one in turned)
    return Check("plans keep their indexes", not turned and len(seen) >= STATEMENTS_MIN, says)


def _failures(samples: Sequence[Sample], strange: Sequence[str], errors: Sequence[str]) -> Iterator[Check]:
    metrics = samples[-1].metrics
    counted = {key: value for key, value in metrics.items() if key.partition("{")[0] in exposition.NEVER and value}
    says = str(counted or "none counted")
    yield Check("no failures", not counted and not errors, says + "".join(f"; {line}" for line in errors[:3]))
    yield Check("no strange answers", not strange, "; ".join(strange[:3]) or "none")
    pids = {role: {tuple(one.pid for one in sample.processes[role]) for sample in samples} for role in ROLES}
    again = [role for role, found in pids.items() if len(found) > 1]
    yield Check(
        "no process ended",
        not again,
        f"started again: {again}" if again else "the same from the first sample to the last",
    )
