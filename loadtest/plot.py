"""Quantile plots as SVG text: the share that waits at most so long, on a scale where each nine takes as much room as the last."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from loadtest.waits import Waits, curve

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 760, 300, 58, 14, 14, 40
_NINES_MAX: Final = 4.0
_POINTS: Final = 120
_TICKS: Final = ((0.0, "0"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %"))


def quantile_plot(title: str, lines: Mapping[str, Waits]) -> str:
    """One SVG with a line for each of the waits; its colours are the classes line-0, line-1, … of the page."""
    shares = [1 - 10 ** (-_NINES_MAX * place / _POINTS) for place in range(_POINTS + 1)]
    drawn = {name: _believable(shares, waits) for name, waits in lines.items() if waits.count and waits.hdr}
    values = [value for points in drawn.values() for _, value in points if value > 0]
    low, high = (math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))) if values else (0, 1)
    high = max(high, low + 1)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + 18 * len(drawn)}" role="img" aria-label="{escape(title)}">',
        *_grid(low, high),
    ]
    for place, (name, points) in enumerate(drawn.items()):
        path = " ".join(f"{_x(share):.1f},{_y(value, low, high):.1f}" for share, value in points)
        parts.append(f'<polyline class="line-{place % 6}" points="{path}"><title>{escape(name)}</title></polyline>')
        parts.append(_legend(name, place))
    return "\n".join([*parts, "</svg>"])


def _believable(shares: Sequence[float], waits: Waits) -> list[tuple[float, float]]:
    """Up to the last share that still has an answer beyond it."""
    known = [share for share in shares if (1 - share) * waits.count >= 1]
    return list(zip(known, curve(waits.hdr, list(known)), strict=True))


def _grid(low: int, high: int) -> list[str]:
    parts = []
    for share, text in _TICKS:
        x = _x(share)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>')
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{text}</text>')
    for power in range(low, high + 1):
        y = _y(10.0**power, low, high)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g} ms</text>')
    return parts


def _legend(name: str, place: int) -> str:
    y = _HEIGHT + 18 * place
    return (
        f'<line class="line-{place % 6}" x1="{_LEFT}" x2="{_LEFT + 24}" y1="{y - 4}" y2="{y - 4}"/>'
        f'<text x="{_LEFT + 32}" y="{y}">{escape(name)}</text>'
    )


def _x(share: float) -> float:
    nines = -math.log10(max(1 - share, 10**-_NINES_MAX))
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * nines / _NINES_MAX


def _y(value: float, low: int, high: int) -> float:
    at = (math.log10(max(value, 10.0**low)) - low) / (high - low)
    return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * at
