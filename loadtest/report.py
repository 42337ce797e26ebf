"""From what was seen to figures: medians, ratios within each round, what holds and what does not."""

import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Final

import msgspec

from loadtest import budgets, claims, event_figures, plan
from loadtest.beside import Scale, TwoWorkers
from loadtest.budgets import Budget, Guard
from loadtest.claims import Claim
from loadtest.closed_loop import Throughput
from loadtest.event_figures import Events, ratios
from loadtest.half import Half
from loadtest.half_open import HalfOpen
from loadtest.overload import Overload
from loadtest.punctual import Punctual
from loadtest.rounds import Rounds
from loadtest.run import Measured
from loadtest.saturation import Saturation
from loadtest.stretch import Driver, Stretch
from loadtest.workloads import Cold, Import, Viral

FAILED_SHARE_MAX: Final = 0.001
OTHERS_CORES_MAX: Final = 0.2
"""Of a machine that is ours; from there on ratios of processor time tell of others too."""
QUICK: Final = plan.QUICK.name


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was measured; `load_before` is the load average before the run, `others_cores` what others used of the machine during the rounds."""

    cores: int
    load_before: float
    others_cores: float
    python: str
    kernel: str


class Decisions(msgspec.Struct, frozen=True, kw_only=True):
    """POST /v1/decisions in the closed loop; processor time for one, in µs; `capacity_per_s` is what the open loop carried."""

    per_s: float
    capacity_per_s: float
    cpu_us: float
    postgres_cpu_us: float
    ratio_to_echo: float
    postgres_ratio_to_insert: float


class References(msgspec.Struct, frozen=True, kw_only=True):
    """What the same machine did in the same minutes: bare echo, one durable INSERT a request, `unnest` of 1,000 rows."""

    echo_per_s: float
    echo_cpu_us: float
    insert_per_s: float
    insert_cpu_us: float
    insert_postgres_cpu_us: float
    batch_rows_per_s: float
    batch_client_cpu_us: float
    batch_postgres_cpu_us: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All figures; null is a part that this form leaves out. `spread` is best ÷ worst round of each figure. `missed` fails the run."""

    form: str
    measured_at: datetime
    seconds: float
    machine: Machine
    claims: list[Claim] = []
    guards: list[Guard] = []
    missed: list[str] = []
    late: list[str] = []
    failed_share: float
    refused_share: float
    decisions: Decisions
    events: Events
    references: References
    spread: dict[str, float]
    saturation: Saturation | None
    half: Half
    half_open: HalfOpen | None
    punctual: Punctual
    overload: Overload
    flood: Stretch | None
    viral: Viral | None
    cold: Cold | None
    importing: Import | None
    two_workers: TwoWorkers | None
    scale: Scale | None


def report_of(measured: Measured, now: datetime, bounds: Mapping[str, Budget]) -> Report:
    """Figures are medians over the rounds; a ratio is the median of the ratios within each round."""
    rounds = measured.rounds
    found = Report(
        form=measured.plan.name,
        measured_at=now,
        seconds=measured.seconds,
        machine=Machine(
            cores=os.cpu_count() or 1,
            load_before=measured.load_before,
            others_cores=measured.rounds.others_cores,
            python=platform.python_version(),
            kernel=platform.release(),
        ),
        failed_share=_share(measured, lambda each: each.failed),
        refused_share=_share(measured, lambda each: each.refused),
        decisions=_decisions(measured),
        events=event_figures.of(rounds),
        references=_references(rounds),
        spread=_spreads(rounds),
        **{name: getattr(measured, name) for name in _AS_MEASURED},
    )
    is_beside = measured.rounds.others_cores > OTHERS_CORES_MAX
    found = msgspec.structs.replace(
        found,
        claims=claims.judge(found),
        guards=budgets.judge(bounds, found, is_full=found.form != QUICK, is_beside=is_beside),
        late=_late(measured),
    )
    return msgspec.structs.replace(found, missed=_missed(found, measured))


_AS_MEASURED: Final = (
    *("saturation", "half", "half_open", "punctual", "overload", "flood"),
    *("viral", "cold", "importing", "two_workers", "scale"),
)


def _decisions(measured: Measured) -> Decisions:
    ours, rounds = measured.rounds.decisions, measured.rounds
    return Decisions(
        per_s=_median(ours, lambda each: each.per_s),
        capacity_per_s=measured.capacity_per_s,
        cpu_us=_median(ours, lambda each: each.cpu_us),
        postgres_cpu_us=_median(ours, lambda each: each.postgres_cpu_us),
        ratio_to_echo=median(_echo_ratios(rounds)),
        postgres_ratio_to_insert=median(_postgres_ratios(rounds)),
    )


def _references(rounds: Rounds) -> References:
    return References(
        echo_per_s=_median(rounds.echo, lambda each: each.per_s),
        echo_cpu_us=_median(rounds.echo, lambda each: each.cpu_us),
        insert_per_s=_median(rounds.inserts, lambda each: each.per_s),
        insert_cpu_us=_median(rounds.inserts, lambda each: each.cpu_us),
        insert_postgres_cpu_us=_median(rounds.inserts, lambda each: each.postgres_cpu_us),
        batch_rows_per_s=median(each.per_s for each in rounds.batches),
        batch_client_cpu_us=median(event_figures.client_us(rounds)),
        batch_postgres_cpu_us=median(rounds.batch_postgres_us),
    )


def _spreads(rounds: Rounds) -> dict[str, float]:
    series: dict[str, Sequence[float]] = {
        "decisions.per_s": [each.per_s for each in rounds.decisions],
        "decisions.cpu_us": [each.cpu_us for each in rounds.decisions],
        "decisions.ratio_to_echo": _echo_ratios(rounds),
        "decisions.postgres_ratio_to_insert": _postgres_ratios(rounds),
        "events.per_s": [each.per_s for each in rounds.events],
        "events.ratio_to_insert": event_figures.ratios_to_insert(rounds),
        "events.cpu_ratio_to_insert": event_figures.cpu_ratios_to_insert(rounds),
        "references.echo_cpu_us": [each.cpu_us for each in rounds.echo],
    }
    return {name: max(values) / min(values) if min(values) > 0 else float("inf") for name, values in series.items()}


def _echo_ratios(rounds: Rounds) -> list[float]:
    return ratios((each.cpu_us for each in rounds.echo), (each.cpu_us for each in rounds.decisions))


def _postgres_ratios(rounds: Rounds) -> list[float]:
    return ratios(
        (each.postgres_cpu_us for each in rounds.inserts), (each.postgres_cpu_us for each in rounds.decisions)
    )


def _median(rounds: Iterable[Throughput], figure: Callable[[Throughput], float]) -> float:
    return median(figure(each) for each in rounds)


def _drivers(measured: Measured) -> Iterable[tuple[str, Driver]]:
    yield "punctual", measured.punctual.driver
    yield from (("half", driver) for driver in measured.half.drivers)
    if measured.half_open is not None:
        yield from (("half_open", driver) for driver in measured.half_open.drivers)
    yield from (("overload", each.driver) for each in (*measured.overload.at_capacity, *measured.overload.beyond))
    yield from ((each.name, each.driver) for each in _stretches(measured))


def _stretches(measured: Measured) -> list[Stretch]:
    told = (measured.viral, measured.cold, measured.importing)
    return [*([measured.flood] if measured.flood else []), *(each.stretch for each in told if each is not None)]


def _late(measured: Measured) -> list[str]:
    """Where the generator itself was too late for the waits to be believed."""
    return sorted({name for name, driver in _drivers(measured) if driver.is_late})


def _share(measured: Measured, count: Callable[[Throughput], int]) -> float:
    rounds = measured.rounds
    seen = (*rounds.decisions, *rounds.events, *rounds.echo, *rounds.inserts)
    return sum(map(count, seen)) / max(sum(each.answered + each.failed + each.refused for each in seen), 1)


def _missed(found: Report, measured: Measured) -> list[str]:
    missed = [guard.name for guard in found.guards if not guard.holds]
    if found.failed_share > FAILED_SHARE_MAX:
        missed.append("failed_share")
    overload = measured.overload
    if overload.failed_share > FAILED_SHARE_MAX:
        missed.append("overload.failed_share")
    if any(each.without_retry_after for each in (*overload.at_capacity, *overload.beyond, *_stretches(measured))):
        missed.append("without_retry_after")
    viral = measured.viral
    if viral is not None and not (viral.acknowledged <= viral.written <= viral.redemptions_max):
        missed.append("viral.written")
    return missed
