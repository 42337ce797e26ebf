"""How a report is told: as tables of words and numbers for people, as JSON for programs."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from loadtest.beside import Beside
from loadtest.half_open import HalfOpen
from loadtest.report import Report
from loadtest.stretch import Stretch

Row = tuple[str, ...]


class Table(NamedTuple):
    """A heading, the names of the columns (the first one empty), and rows of as many cells."""

    title: str
    columns: Row
    rows: Sequence[Row]


def as_json(report: Report) -> str:
    """One JSON object; what has no value (a wait without end) is null."""
    return msgspec.json.format(msgspec.json.encode(report)).decode()


def as_text(report: Report) -> str:
    """All tables, then the verdict."""
    parts = []
    for table in tables(report):
        widths = [max(len(row[place]) for row in (table.columns, *table.rows)) for place in range(len(table.columns))]
        lines = [
            "  ".join(
                cell.ljust(width) if place == 0 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in (table.columns, *table.rows)
        ]
        parts.append("\n".join([table.title, *lines]))
    return "\n\n".join([*parts, verdict(report)])


def verdict(report: Report) -> str:
    """One line a reason."""
    lines = []
    if report.late:
        lines.append(f"driver late: the waits of {', '.join(report.late)} are not to be believed")
    lines.append(f"outside the budget: {', '.join(report.missed)}" if report.missed else "within all budgets")
    return "\n".join(lines)


def tables(report: Report) -> list[Table]:
    """All that is told, in the order of reading."""
    return [*_verdicts(report), *_throughput(report), *_waits(report), *_others(report), _noise(report)]


def _verdicts(report: Report) -> Iterator[Table]:
    claims = [
        (claim.what, number(claim.value), _bound(claim.at_least, claim.at_most), "yes" if claim.holds else "no")
        for claim in report.claims
    ]
    yield Table("Aims", ("", "measured", "aim", "holds"), claims)
    guards = [
        (
            *(guard.name, number(guard.value), number(guard.stored)),
            *(f"{'≤' if guard.is_less_better else '≥'} {number(guard.bound)}", "yes" if guard.holds else "no"),
        )
        for guard in report.guards
    ]
    yield Table("Budgets", ("", "measured", "stored", "bound", "holds"), guards)


def _bound(at_least: float | None, at_most: float | None) -> str:
    return f"≥ {number(at_least)}" if at_least is not None else f"≤ {number(at_most or 0.0)}"


def _throughput(report: Report) -> Iterator[Table]:
    decisions, events, references = report.decisions, report.events, report.references
    rows = (
        ("a decision", decisions.per_s, decisions.cpu_us, decisions.postgres_cpu_us),
        ("bare echo", references.echo_per_s, references.echo_cpu_us, 0.0),
        ("one durable INSERT", references.insert_per_s, references.insert_cpu_us, references.insert_postgres_cpu_us),
        ("an event, in batches of 20", events.per_s, events.cpu_us, events.postgres_cpu_us),
        *(("a row, unnest of 1,000", references.batch_rows_per_s),),
    )
    told = [tuple(cell if isinstance(cell, str) else number(cell) for cell in row) for row in rows[:4]]
    told.append(
        (
            *("a row, unnest of 1,000", number(references.batch_rows_per_s)),
            *(number(references.batch_client_cpu_us), number(references.batch_postgres_cpu_us)),
        )
    )
    columns = ("", "a second", "CPU µs: server", "CPU µs: PostgreSQL")
    yield Table("Closed loop, one API worker", columns, told)
    if report.saturation is not None:
        steps = [
            (
                *(number(step.per_s), number(step.answered_per_s), number(step.p50_ms), number(step.p99_ms)),
                "yes" if step.is_carried else "no",
            )
            for step in report.saturation.steps
        ]
        yield Table("Saturation, by steps", ("arrivals/s", "answered/s", "p50 ms", "p99 ms", "carried"), steps)


def _waits(report: Report) -> Iterator[Table]:
    half, punctual = report.half, report.punctual
    at = f"at {half.per_s:.0f}/s"
    rows = [
        (f"decision {at}", *quantiles(half.decision)),
        (f"one durable INSERT {at}", *quantiles(half.insert)),
    ]
    if crowd := report.half_open:
        at = f"at {crowd.per_s:.0f}/s"
        rows.append((f"decision {at}, in turn with the next", *quantiles(crowd.alone)))
        rows.append((f"decision {at}, beside {crowd.clients:,} half-open clients", *quantiles(crowd.beside)))
    for stretch in stretches(report):
        for name, answers in stretch.kinds.items():
            if answers.waits is not None:
                rows.append((f"{stretch.name}: {name}", *quantiles(answers.waits)))
            if answers.refusals is not None:
                rows.append((f"{stretch.name}: {name}, refused", *quantiles(answers.refusals)))
    yield Table("Open loop, waits in ms", ("", "count", "p50", "p90", "p99", "p99.9", "longest"), rows)
    driver = punctual.driver
    rates = (number(punctual.per_s), number(punctual.answered_per_s), number(driver.cpu_us))
    late = (number(driver.late_p50_ms), number(driver.late_p99_ms), number(driver.late_max_ms))
    columns = ("", "a second", "answered", "CPU µs", "late p50 ms", "late p99 ms", "late at most ms")
    yield Table("The generator against the bare echo", columns, [("echo", *rates, *late)])


def quantiles(waits: object) -> Row:
    """Count and quantiles of msgspec-encoded waits."""
    names = ("count", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms")
    return tuple(number(getattr(waits, name)) for name in names)


def stretches(report: Report) -> list[Stretch]:
    """All stretches of open-loop load there were."""
    told = (report.viral, report.cold, report.importing)
    found = [*report.overload.at_capacity, *report.overload.beyond]
    found += [report.flood] if report.flood else []
    return found + [each.stretch for each in told if each is not None]


def _others(report: Report) -> Iterator[Table]:
    pairs = [
        (name, each)
        for name, each in (
            ("two API workers ÷ one", report.two_workers),
            ("a million people ÷ ten thousand", report.scale.beside if report.scale else None),
        )
        if each is not None
    ]
    if pairs:
        columns = ("", "one", "other", "ratio", "CPU ratio", "one is bound by", "other is bound by")
        yield Table("Side by side: decisions a second", columns, [(name, *_pair(each)) for name, each in pairs])
    facts = list(_facts(report))
    if facts:
        yield Table("What else was seen", ("", ""), facts)


def _pair(each: Beside) -> Row:
    return (
        *(number(each.first.per_s), number(each.other.per_s), number(each.per_s_ratio), number(each.cpu_ratio)),
        *(each.first.bound_by, each.other.bound_by),
    )


def _facts(report: Report) -> Iterator[Row]:
    over, events = report.overload, report.events
    yield "an event: CPU µs of the background worker, which learns", number(events.background_cpu_us)
    yield "events: cores used by API worker, PostgreSQL and background worker", number(events.cores)
    if report.two_workers is not None:
        yield "events a second of two API workers ÷ rows of unnest", number(report.two_workers.events.ratio_to_insert)
        if grown := report.two_workers.cores:
            yield (
                f"decisions a second on one core, and on {grown.count}",
                f"{number(grown.one_per_s)}, {number(grown.all_per_s)}",
            )
    yield "three times capacity: refused, share", number(over.refused_share)
    yield "three times capacity: failed, share", number(over.failed_share)
    yield "three times capacity: answered ÷ answered at capacity", number(over.goodput_share)
    if over.refusal_p50_ms is not None and over.refusal_p99_ms is not None:
        yield (
            "three times capacity: a refusal, p50 and p99 ms",
            f"{number(over.refusal_p50_ms)}, {number(over.refusal_p99_ms)}",
        )
    if report.half_open is not None:
        yield from _crowd(report.half_open)
    if scale := report.scale:
        yield f"{scale.people:,} people: on disk, bytes each", number(scale.disk_bytes_per_user)
        yield f"{scale.people:,} people: API worker, bytes each asked for", number(scale.api_bytes_per_user)
        yield f"{scale.people:,} people: API worker, MB in all", number(scale.api_resident_bytes / 1e6)
        yield f"{scale.people:,} people: start, import and seeding, s", number(scale.seeded_s)
    if viral := report.viral:
        yield f"viral: redeemed of {viral.redemptions_max}, told and written", f"{viral.acknowledged}, {viral.written}"
    if importing := report.importing:
        yield f"import of {importing.rows} offers, s", number(importing.import_s)
        yield (
            "import: p99 ms before and during",
            f"{number(importing.before_p99_ms)}, {number(importing.during_p99_ms)}",
        )
    if cold := report.cold:
        yield "killed worker: ready again after, s", number(cold.ready_again_s)
        yield (
            "killed worker: p99 ms of the first second and later",
            f"{number(cold.first_second_p99_ms)}, {number(cold.later_p99_ms)}",
        )


def _crowd(seen: HalfOpen) -> Iterator[Row]:
    yield (
        f"half-open clients: p99 of a decision beside {seen.clients:,} ÷ without, median round",
        number(seen.p99_ratio),
    )
    yield "half-open clients: at least so many at a time", number(seen.fewest)
    yield "half-open clients: closed", number(seen.closed)
    if seen.soonest_close_s is not None and seen.longest_close_s is not None:
        span = f"{number(seen.soonest_close_s)}, {number(seen.longest_close_s)}"
        yield "half-open clients: closed after, soonest and longest s", span


def _noise(report: Report) -> Table:
    rows = [(f"{name}: best ÷ worst round", number(value)) for name, value in report.spread.items()]
    rows += [
        ("cores", str(report.machine.cores)),
        ("cores used by others during the rounds", number(report.machine.others_cores)),
        ("load before the run", number(report.machine.load_before)),
        ("closed loops: failed, share", number(report.failed_share)),
        ("closed loops: refused, share", number(report.refused_share)),
        ("seconds in all", number(report.seconds)),
    ]
    return Table("How far to trust it", ("", ""), rows)


def number(value: float) -> str:
    """Three digits that count, the whole part never shortened."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(min(abs(value), 1e9)) else f"{value:.3g}"
