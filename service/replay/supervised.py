"""A logistic model fitted to the outcomes of all arms: what could be earned if every arm of every round had been tried."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

RIDGE: Final = 1.0
_BLOCK_ROWS: Final = 8_192
"""Of a size that stays in the cache."""
_STEPS_MAX: Final = 25
_STEP_MAX: Final = 3.0
_CONTENT: Final = 1e-3
_LOGIT_MAX: Final = 30.0


def fit(x: F32, y: F64, start: F64 | None = None) -> F64:
    """Weights (d,) of P(y = 1) = 1 / (1 + exp(-x.w)) with the penalty RIDGE / 2 |w|^2, by Newton's method.

    Args:
        x: (rows, d).
        y: (rows,) 0 or 1.
        start: (d,) weights to begin at.
    """
    w = np.zeros(x.shape[1]) if start is None else start.copy()
    for _ in range(_STEPS_MAX):
        slope, curvature = _slope_and_curvature(x, y, w)
        step = np.linalg.solve(curvature, slope)
        longest = float(np.abs(step).max())
        w += step * min(1.0, _STEP_MAX / max(longest, 1e-12))
        if longest < _CONTENT:
            break
    return w


def _slope_and_curvature(x: F32, y: F64, w: F64) -> tuple[F64, F64]:
    slope, curvature = -RIDGE * w, RIDGE * np.eye(len(w))
    for begin in range(0, len(x), _BLOCK_ROWS):
        rows = x[begin : begin + _BLOCK_ROWS]
        p = 1.0 / (1.0 + np.exp(-np.clip(rows @ w.astype(np.float32), -_LOGIT_MAX, _LOGIT_MAX)))
        slope += rows.T @ (y[begin : begin + _BLOCK_ROWS] - p).astype(np.float32)
        curvature += rows.T @ (rows * (p * (1.0 - p))[:, None])
    return slope, curvature


def in_sample(phi: F32, reward: F64) -> Ints:
    """(rounds,) the likeliest arm by a model of all rounds and arms, these very rounds included."""
    phi = varied(phi)
    return _best(phi, fit(phi.reshape(-1, phi.shape[2]), reward.ravel()))


def out_of_fold(phi: F32, reward: F64, fold: Ints, trained_on: npt.NDArray[np.bool_] | None = None) -> Ints:
    """(rounds,) the likeliest arm by a model of the other folds.

    Args:
        phi: (rounds, arms, d).
        reward: (rounds, arms).
        fold: (rounds,) fold of each round.
        trained_on: (rounds, arms) the outcomes a model is fitted to; all of them when None.
    """
    phi = varied(phi)
    chosen = np.zeros(len(phi), np.int64)
    kept = np.ones(reward.shape, np.bool_) if trained_on is None else trained_on
    w: F64 | None = None
    for one in np.unique(fold):
        others = kept & (fold != one)[:, None]
        w = fit(phi[others], reward[others], w)
        chosen[fold == one] = _best(phi[fold == one], w)
    return chosen


def varied(phi: F32) -> F32:
    """The columns that are not 0 everywhere: the others have weight 0 in any fit, and cost as much."""
    return np.ascontiguousarray(phi[:, :, phi.any(axis=(0, 1))])


def contenders(score: npt.NDArray[Any], count: int) -> npt.NDArray[np.bool_]:
    """(rounds, arms) True for the `count` arms of each round with the highest score."""
    found = np.zeros(score.shape, np.bool_)
    top = np.argpartition(-score, min(count, score.shape[1]) - 1, axis=1)[:, :count]
    np.put_along_axis(found, top, values=True, axis=1)
    return found


def _best(phi: F32, w: F64) -> Ints:
    return np.asarray((phi @ w.astype(np.float32)).argmax(axis=1), np.int64)
