"""What a soak has shown; as JSON for programs, as Markdown for people and for the docs."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from loadtest.soak import judge
from loadtest.soak.audit import Books
from loadtest.soak.errors import Logged
from loadtest.soak.explained import kind_of
from loadtest.soak.judge import Check, Flow
from loadtest.soak.plan import Plan
from loadtest.soak.plan_watch import Seen
from loadtest.soak.sampling import Sample, Tables
from loadtest.soak.told import Told
from loadtest.soak.watch import Watch

_TABLES_TOLD: Final = 12


class Report(msgspec.Struct):
    """A run. `tables` are bytes with indexes by kind of table, before and after; `bytes_per_event` is what the database grew by."""

    plan: Plan
    seconds: float
    days: float
    events: int
    decisions: int
    sales: int
    edits: int
    repeated: int
    retries: int
    held_s: float
    pushes: dict[str, float]
    memory: list[Flow]
    books: Books
    tables: dict[str, list[int]]
    bytes_per_event: float
    statements: list[Seen]
    samples: list[Sample]
    strange: list[str]
    log: Logged
    checks: list[Check]

    @property
    def is_clean(self) -> bool:
        """Whether every check held."""
        return all(check.holds for check in self.checks)


def made(
    plan: Plan,
    seconds: float,
    days: float,
    told: Told,
    held_s: float,
    watch: Watch,
    books: Books,
    before: Tables,
    after: Tables,
) -> Report:
    """Everything but the log and the checks, which come when the installation has ended."""
    metrics = watch.samples[-1].metrics
    return Report(
        plan=plan,
        seconds=seconds,
        days=days,
        events=told.acknowledged,
        decisions=told.decided,
        sales=told.sales_made,
        edits=told.edits,
        repeated=told.repeated,
        retries=told.retries,
        held_s=held_s,
        pushes={key: value for key, value in metrics.items() if "pushes" in key},
        memory=judge.flows(watch.samples),
        books=books,
        tables=_by_kind(before, after),
        bytes_per_event=(sum(after.bytes.values()) - sum(before.bytes.values())) / max(told.acknowledged, 1),
        statements=watch.plans.seen(),
        samples=watch.samples,
        strange=told.strange,
        log=Logged(0, [], {}),
        checks=[],
    )


def finished(report: Report) -> Report:
    """The same with its checks."""
    report.checks = list(
        judge.checks(report.samples, report.statements, report.books, report.strange, report.log.examples)
    )
    return report


def _by_kind(before: Tables, after: Tables) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for place, tables in enumerate((before, after)):
        for name, size in tables.bytes.items():
            found.setdefault(kind_of(name), [0, 0])[place] += size
    return dict(sorted(found.items(), key=lambda one: -one[1][1]))


def as_json(report: Report) -> str:
    """One JSON object."""
    return msgspec.json.format(msgspec.json.encode(report)).decode()


def as_text(report: Report) -> str:
    """Markdown, the verdict last."""
    per_s = report.events / report.seconds
    rows: list[Sequence[Any]] = [(one.name, *(f"{mib:.0f}" for mib in one.mib), _slope(one)) for one in report.memory]
    sizes = [
        (name, *(f"{size / 2**20:.1f}" for size in both)) for name, both in list(report.tables.items())[:_TABLES_TOLD]
    ]
    judged = [("yes" if one.holds else "**no**", one.name, one.says) for one in report.checks]
    summary = (
        f"{report.events:,} events, {report.decisions:,} decisions, {report.sales:,} sales and {report.edits:,} edits over "
        f"{report.days:.2f} days in {report.seconds / 60:.1f} min ({per_s:,.0f} events/s), seed {report.plan.seed}; "
        f"{report.repeated:,} events told again, {report.retries:,} requests asked again, held for the learner "
        f"{report.held_s:.0f} s; {report.bytes_per_event:,.0f} bytes an event"
    )
    return "\n".join(
        [
            summary,
            "",
            *_table(("memory of its own, MiB", "beginning", "middle", "end", "by a million events"), rows),
            "",
            *_table(("table with its indexes, MiB", "before", "after"), sizes),
            "",
            *_table(("holds", "claim", "seen"), judged),
        ]
    )


def _slope(flow: Flow) -> str:
    return "-" if flow.slope is None else f"{flow.slope:+.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in lines]
