"""Charts as SVG: a curve for each policy, bars of a funnel, the hours of the week. Colours come from the page's style."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final, NamedTuple

import numpy as np

from service.demo.local_week import Ints

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class _Plot(NamedTuple):
    """The area of the curves in a drawing of 900 by 300, and what its far corner stands for."""

    weeks: int
    top: float
    left: int = 46
    right: int = 760
    upper: int = 12
    lower: int = 262

    def x(self, week: int) -> float:
        return self.left + (self.right - self.left) * week / max(self.weeks - 1, 1)

    def y(self, value: float) -> float:
        return self.lower - (self.lower - self.upper) * value / self.top


def curves(by_name: Mapping[str, Sequence[float]], weeks: int) -> str:
    """A line for each name over the weeks; a name is written at the end of its line."""
    highest = max((value for values in by_name.values() for value in values), default=0.0)
    plot = _Plot(weeks, max(highest, 0.01) * 1.08)
    parts = [_grid(plot)]
    names = sorted(((values[-1], name) for name, values in by_name.items() if values), reverse=True)
    place = float(plot.upper - 16)
    for last, name in names:
        values = by_name[name]
        points = " ".join(f"{plot.x(week):.1f},{plot.y(value):.1f}" for week, value in enumerate(values))
        place = max(place + 16, plot.y(last) + 4)  # names never lie on each other
        style = escape(name)
        parts.append(f'<polyline class="curve {style}" points="{points}"/>')
        if len(values) == 1:
            parts.append(f'<circle class="curve {style}" cx="{plot.x(0):.1f}" cy="{plot.y(last):.1f}" r="3"/>')
        parts.append(
            f'<text class="{style}" x="{plot.x(len(values) - 1) + 8:.1f}" y="{place:.1f}">{style} {last:.1%}</text>'
        )
    return _svg(900, 300, "Redemptions per household and week of each policy", parts)


def _grid(plot: _Plot) -> str:
    lines = []
    for share in np.linspace(0, plot.top, 5).tolist():
        y = plot.y(share)
        lines.append(f'<line class="grid" x1="{plot.left}" x2="{plot.right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text x="{plot.left - 6}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>')
    step = max(1, plot.weeks // 10)
    lines += [
        f'<text x="{plot.x(week):.1f}" y="282" text-anchor="middle">{week + 1}</text>'
        for week in range(0, plot.weeks, step)
    ]
    lines.append(f'<text x="{plot.left}" y="298">week</text>')
    return "".join(lines)


def funnel(steps: Sequence[tuple[str, int]]) -> str:
    """A bar for each step with its count, and its share of the first: a push need not be opened to be redeemed."""
    whole = steps[0][1] or 1
    most = max(count for _, count in steps) or 1
    parts = []
    for place, (name, count) in enumerate(steps):
        y = 8 + 34 * place
        width = 520 * count / most
        share = f" ({count / whole:.1%} of {steps[0][0]})" if place else ""
        parts.append(f'<text class="strong" x="0" y="{y + 16}">{escape(name)}</text>')
        parts.append(f'<rect class="fill" x="124" y="{y}" width="{max(width, 1):.1f}" height="22" rx="3"/>')
        parts.append(f'<text x="{132 + width:.1f}" y="{y + 16}">{count:,}{escape(share)}</text>')
    return _svg(900, 34 * len(steps) + 10, "How many pushes reached each step", parts)


def heat_map(counts: Ints) -> str:
    """(7, 24) counts as a table of squares, darker for more."""
    most = max(int(counts.max()), 1)
    parts = []
    for day, name in enumerate(DAYS):
        parts.append(f'<text x="0" y="{day * 26 + 18}">{name}</text>')
        for hour in range(24):
            count = int(counts[day, hour])
            opacity = 0.06 + 0.94 * count / most
            parts.append(
                f'<rect class="fill" fill-opacity="{opacity:.3f}" x="{44 + hour * 35}" y="{day * 26}" width="33" height="24" rx="3">'
                f"<title>{name} {hour:02d}:00: {count}</title></rect>"
            )
    parts += [f'<text x="{44 + hour * 35}" y="200">{hour:02d}</text>' for hour in range(0, 24, 3)]
    return _svg(900, 206, "Pushes by day of the week and hour", parts)


def _svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img"><title>{escape(title)}</title>{"".join(parts)}</svg>'
