"""A report as one HTML file that needs nothing else: the tables of the text, quantile plots, and the JSON inside."""

from html import escape
from typing import Final

from loadtest.plot import quantile_plot
from loadtest.report import Report
from loadtest.stretch import Stretch
from loadtest.table import Table, as_json, stretches, tables, verdict
from loadtest.waits import Waits

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2430; --paper: #fff; --faint: #d8dde4; --good: #1a7f4b; --bad: #b3261e }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --paper: #14181e; --faint: #333b46; --good: #5fd39a; --bad: #ff8a80 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; display: block; overflow-x: auto }
td, th { padding: .2rem .8rem; border-bottom: 1px solid var(--faint); text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
td:first-child, th:first-child { text-align: left; white-space: normal }
.yes { color: var(--good) } .no { color: var(--bad); font-weight: 600 }
svg { width: 100%; height: auto } svg text { fill: var(--ink); font-size: 11px } .grid { stroke: var(--faint) }
polyline { fill: none; stroke-width: 2 } svg line[class^=line] { stroke-width: 3 }
.line-0 { stroke: #2f6fde } .line-1 { stroke: #d9822b } .line-2 { stroke: #23946b } .line-3 { stroke: #a64ac9 } .line-4 { stroke: #c23b4b } .line-5 { stroke: #6b7785 }
"""


def as_html(report: Report) -> str:
    """The whole page; the JSON stands in a script element of type application/json with the id `report`."""
    about = (
        f"{escape(report.form)} form, {report.measured_at:%Y-%m-%d %H:%M} UTC, {report.machine.cores} cores, "
        f"load {report.machine.load_before:.1f} before the run."
    )
    body = [
        f"<h1>Load test</h1><p>{about}</p>",
        f"<p><strong>{escape(verdict(report))}</strong></p>",
        *(_table(table) for table in tables(report)),
        "<h2>Waits by share</h2>",
        *_plots(report),
    ]
    told = as_json(report).replace("<", "\\u003c")
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Load test</title>',
            f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>',
            *body,
            f'<script type="application/json" id="report">{told}</script></body></html>',
        ]
    )


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    rows = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in table.rows)
    return f"<h2>{escape(table.title)}</h2><table><tr>{head}</tr>{rows}</table>"


def _cell(text: str) -> str:
    return f'<td class="{text}">{text}</td>' if text in {"yes", "no"} else f"<td>{escape(text)}</td>"


def _plots(report: Report) -> list[str]:
    half = report.half
    parts = [
        f"<h3>At half of saturation, {half.per_s:.0f} a second</h3>",
        quantile_plot("At half of saturation", {"decision": half.decision, "one durable INSERT": half.insert}),
        *_half_open(report),
        "<h3>At capacity and at three times capacity</h3>",
        quantile_plot("Overload", _overload(report)),
    ]
    told = [
        stretch for stretch in stretches(report) if stretch not in report.overload.at_capacity + report.overload.beyond
    ]
    for stretch in told:
        parts += [
            f"<h3>{escape(stretch.name)}</h3><p>{escape(stretch.about)}</p>",
            quantile_plot(stretch.name, _of(stretch)),
        ]
    return parts


def _half_open(report: Report) -> list[str]:
    found = report.half_open
    if found is None:
        return []
    beside = f"beside {found.clients:,} half-open clients"
    lines = {"decision": found.alone, f"decision, {beside}": found.beside}
    return [f"<h3>The same {beside}</h3>", quantile_plot(f"Half of saturation, {beside}", lines)]


def _overload(report: Report) -> dict[str, Waits]:
    """The last round of each."""
    return _of(report.overload.at_capacity[-1]) | _of(report.overload.beyond[-1])


def _of(stretch: Stretch) -> dict[str, Waits]:
    lines = {}
    for name, answers in stretch.kinds.items():
        if answers.waits is not None:
            lines[f"{stretch.name}: {name}"] = answers.waits
        if answers.refusals is not None:
            lines[f"{stretch.name}: {name}, refused"] = answers.refusals
    return lines
