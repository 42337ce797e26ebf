"""From rounds to figures: medians, ratios within each round, the budgets, and how it is told."""

import math
import os
import tomllib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from loadtest.drive import Latency, Throughput
from loadtest.measure import Measured
from loadtest.workload import EVENTS_PER_REQUEST

BUDGETS: Final = Path(__file__).with_name("budgets.toml")
FAILED_SHARE_MAX: Final = 0.001


class Decisions(msgspec.Struct, frozen=True, kw_only=True):
    """POST /v1/decisions. per_s and cpu_us in the closed loop, p50_ms and p99_ms at rate_per_s in the open one."""

    per_s: float
    cpu_us: float
    ratio_to_echo: float
    p50_ms: float
    p99_ms: float
    p99_ratio_to_insert: float
    rate_per_s: float


class Events(msgspec.Struct, frozen=True, kw_only=True):
    """POST /v1/events, in events."""

    per_s: float
    cpu_us: float
    ratio_to_insert: float


class References(msgspec.Struct, frozen=True, kw_only=True):
    """What the same machine did in the same minutes."""

    echo_per_s: float
    echo_cpu_us: float
    insert_per_s: float
    insert_cpu_us: float
    insert_p50_ms: float
    insert_p99_ms: float
    batch_insert_rows_per_s: float


class Noise(msgspec.Struct, frozen=True, kw_only=True):
    """How far to trust it: best ÷ worst round of each figure, our generator's own cost, and what others did before the run."""

    spread: dict[str, float]
    generator_cpu_us: float
    late_p99_ms: float
    load_before: float
    cores: int


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One bound of a ratio."""

    at_least: float | None = None
    at_most: float | None = None

    def holds(self, value: float) -> bool:
        """Whether the value lies within; no value does not."""
        return (
            math.isfinite(value)
            and (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
        )


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All figures; `missed` names what lies outside its budget."""

    decisions: Decisions
    events: Events
    references: References
    noise: Noise
    failed_share: float
    missed: list[str]


def read_budgets(path: Path = BUDGETS) -> dict[str, dict[str, Budget]]:
    """The bounds by section and figure.

    Raises:
        ValidationError: the file says something else.
    """
    return msgspec.convert(tomllib.loads(path.read_text()), dict[str, dict[str, Budget]])


def report_of(measured: Measured, budgets: dict[str, dict[str, Budget]]) -> Report:
    """Figures are medians over the rounds; a ratio is the median of the ratios within each round."""
    decisions, events = _decisions(measured), _events(measured)
    failed_share = _failed_share(measured)
    missed = _missed({"decisions": decisions, "events": events}, budgets)
    if failed_share > FAILED_SHARE_MAX:
        missed.append("failed_share")
    return Report(
        decisions=decisions,
        events=events,
        references=_references(measured),
        noise=_noise(measured),
        failed_share=failed_share,
        missed=missed,
    )


def _decisions(measured: Measured) -> Decisions:
    return Decisions(
        per_s=_median(measured.decisions, lambda each: each.per_s),
        cpu_us=_median(measured.decisions, lambda each: each.cpu_us),
        ratio_to_echo=_ratio([each.cpu_us for each in measured.echo], [each.cpu_us for each in measured.decisions]),
        p50_ms=median(each.quantile_ms(0.5) for each in measured.decision_latencies),
        p99_ms=median(_p99(measured.decision_latencies)),
        p99_ratio_to_insert=_ratio(_p99(measured.decision_latencies), _p99(measured.insert_latencies)),
        rate_per_s=measured.rate_per_s,
    )


def _events(measured: Measured) -> Events:
    per_s = [each.per_s * EVENTS_PER_REQUEST for each in measured.events]
    return Events(
        per_s=median(per_s),
        cpu_us=_median(measured.events, lambda each: each.cpu_us / EVENTS_PER_REQUEST),
        ratio_to_insert=_ratio(per_s, measured.batch_rows_per_s),
    )


def _references(measured: Measured) -> References:
    return References(
        echo_per_s=_median(measured.echo, lambda each: each.per_s),
        echo_cpu_us=_median(measured.echo, lambda each: each.cpu_us),
        insert_per_s=_median(measured.inserts, lambda each: each.per_s),
        insert_cpu_us=_median(measured.inserts, lambda each: each.cpu_us),
        insert_p50_ms=median(each.quantile_ms(0.5) for each in measured.insert_latencies),
        insert_p99_ms=median(_p99(measured.insert_latencies)),
        batch_insert_rows_per_s=median(measured.batch_rows_per_s),
    )


def _noise(measured: Measured) -> Noise:
    return Noise(
        spread={
            "decisions_per_s": _spread(each.per_s for each in measured.decisions),
            "decisions_cpu_us": _spread(each.cpu_us for each in measured.decisions),
            "decisions_p99_ms": _spread(_p99(measured.decision_latencies)),
            "events_per_s": _spread(each.per_s for each in measured.events),
            "echo_cpu_us": _spread(each.cpu_us for each in measured.echo),
            "insert_p99_ms": _spread(_p99(measured.insert_latencies)),
            "batch_insert_rows_per_s": _spread(measured.batch_rows_per_s),
        },
        generator_cpu_us=_median(measured.echo, lambda each: each.generator_cpu_us),
        late_p99_ms=median(each.late_ms(0.99) for each in measured.decision_latencies),
        load_before=measured.load_before,
        cores=os.cpu_count() or 1,
    )


def _failed_share(measured: Measured) -> float:
    closed = (*measured.decisions, *measured.echo, *measured.inserts, *measured.events)
    opened = (*measured.decision_latencies, *measured.insert_latencies)
    failed = sum(each.failed for each in closed) + sum(each.failed for each in opened)
    return failed / (sum(each.answered for each in closed) + sum(len(each.latencies_s) for each in opened))


def _missed(figures: dict[str, Decisions | Events], budgets: dict[str, dict[str, Budget]]) -> list[str]:
    return [
        f"{section}.{name}"
        for section, bounds in budgets.items()
        for name, budget in bounds.items()
        if not budget.holds(getattr(figures[section], name))
    ]


def _median(rounds: Iterable[Throughput], figure: Callable[[Throughput], float]) -> float:
    return median(figure(each) for each in rounds)


def _ratio(over: Sequence[float], under: Sequence[float]) -> float:
    return median(a / b for a, b in zip(over, under, strict=True))


def _spread(values: Iterable[float]) -> float:
    seen = list(values)
    return max(seen) / min(seen)


def _p99(rounds: Iterable[Latency]) -> list[float]:
    return [each.quantile_ms(0.99) for each in rounds]
