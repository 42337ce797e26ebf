"""How a report is told: as a table for people, as JSON for programs."""

from typing import Final

import msgspec

from loadtest.report import Report

_DIGITS: Final = 3


def as_json(report: Report) -> str:
    """One JSON object; what has no value (a wait without end) is null."""
    return msgspec.json.format(msgspec.json.encode(report)).decode()


def as_text(report: Report) -> str:
    """A table of the figures beside their references, then the noise, then the verdict."""
    decisions, events, references, noise = report.decisions, report.events, report.references, report.noise
    rows = (
        ("", "ours", "reference", "ratio"),
        ("decisions: CPU µs a request (echo)", decisions.cpu_us, references.echo_cpu_us, decisions.ratio_to_echo),
        ("decisions: a second (echo)", decisions.per_s, references.echo_per_s, ""),
        ("decisions: a second (one INSERT each)", decisions.per_s, references.insert_per_s, ""),
        (f"decisions: p50 ms at {decisions.rate_per_s:.0f}/s", decisions.p50_ms, references.insert_p50_ms, ""),
        (
            f"decisions: p99 ms at {decisions.rate_per_s:.0f}/s (one INSERT each)",
            *(decisions.p99_ms, references.insert_p99_ms, decisions.p99_ratio_to_insert),
        ),
        (
            "events: a second (unnest)",
            *(events.per_s, references.batch_insert_rows_per_s, events.ratio_to_insert),
        ),
        ("events: CPU µs an event", events.cpu_us, "", ""),
    )
    lines = [f"{name:<50}{_cell(ours)}{_cell(other)}{_cell(ratio)}" for name, ours, other, ratio in rows]
    spread = ", ".join(f"{name} {value:.2f}" for name, value in noise.spread.items())
    late = f"generator: {noise.generator_cpu_us:.1f} µs a request, p99 {noise.late_p99_ms:.2f} ms late"
    around = f"{noise.cores} cores, load {noise.load_before:.1f} before the run; failed {report.failed_share:.4%}"
    verdict = f"outside the budget: {', '.join(report.missed)}" if report.missed else "within all budgets"
    lines += ["", f"best ÷ worst round: {spread}", f"{late}; {around}", verdict]
    return "\n".join(lines)


def _cell(value: float | str) -> str:
    return f"{value if isinstance(value, str) else _number(value):>12}"


def _number(value: float) -> str:
    """Three digits that count, the whole part never shortened."""
    return f"{value:,.0f}" if value >= 10 ** (_DIGITS - 1) else f"{value:.{_DIGITS}g}"
