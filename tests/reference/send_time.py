"""The score of an hour once more, visit by visit and hour by hour, in plain Python."""

import math
from collections.abc import Sequence

import numpy as np


def apart_h(one: int, other: int) -> int:
    return min((one - other) % 168, (other - one) % 168)


def smoothed(visits: Sequence[float]) -> list[float]:
    nearness = [math.exp(-0.5 * (apart_h(0, hour) / 1.5) ** 2) for hour in range(168)]
    nearby = [sum(visits[v] * nearness[apart_h(v, h)] for v in range(168)) / sum(nearness) for h in range(168)]
    out = []
    for h in range(168):
        day, clock = divmod(h, 24)
        kind = range(5, 7) if day >= 5 else range(5)
        same_kind = sum(nearby[24 * other + clock] for other in kind) / len(kind)
        any_day = sum(nearby[24 * other + clock] for other in range(7)) / 7
        out.append(0.4 * nearby[h] + 0.3 * same_kind + 0.3 * any_day)
    return out


def scores(visits: Sequence[float], hour_shares: Sequence[float]) -> list[float]:
    visited = [own + 5.0 * share for own, share in zip(smoothed(visits), hour_shares, strict=True)]
    mean = sum(visited) / 168
    out = []
    for h in range(168):
        soon = sum(visited[(h + ahead) % 168] for ahead in range(6))
        later = sum(visited[(h + ahead) % 168] for ahead in range(72))
        out.append((soon + 0.12 * later) * visited[h] / (visited[h] + 0.1 * mean))
    return out


def pmf(score: np.ndarray, is_allowed: np.ndarray) -> np.ndarray:
    """A softmax over what is allowed, relative to the best, with a floor."""
    best = score[is_allowed].max()
    weights = np.exp(np.where(is_allowed, score / best - 1.0, -np.inf) / 0.002)
    return 0.995 * weights / weights.sum() + 0.005 * is_allowed / is_allowed.sum()


def drawn(probabilities: np.ndarray, uniform: float) -> int:
    """The hour whose stretch of the cumulated pmf holds the number; never one of probability 0."""
    cumulative = np.cumsum(probabilities)
    hour = int((cumulative < uniform * cumulative[-1]).sum())
    return min(hour, int(np.flatnonzero(probabilities)[-1]))
