"""A logged bandit and the policy it is asked about: aligned arrays, checked once.

The arrays and their names are those of obp (Saito et al. 2021, Open Bandit Dataset and Pipeline).
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Array = npt.NDArray[Any]

ROWS_MIN: Final = 2
ROWS_MAX: Final = 2_000_000
COLUMNS_MAX: Final = 1_000
ACTIONS_MAX: Final = 10_000
SLOTS_MAX: Final = 100
CELLS_MAX: Final = 500_000_000
"""Largest size of action_dist."""

CONTEXT_CELLS_MAX: Final = 100_000_000
PSCORE_MIN, NUMBER_MAX = 1e-100, 1e50
"""Beyond these sums of squares of weighted rewards overflow."""

SUM_TOLERANCE: Final = 1e-3
_REQUIRED: Final = ("context", "action", "reward", "pscore", "n_actions")
_CHUNK_ROWS: Final = 50_000


class NotALogError(ValueError):
    """An array is not what it must be; the message names it."""


class LoggedBandit(NamedTuple):
    """n decisions: context (n, d), action (n,) in 0..n_actions-1, reward (n,), pscore (n,) in (0, 1].

    A slate is several rows: position (n,) is the slot of each (0-based; zeros without slates), slate_id (n,) numbers the slates
    from 0; None: every row is on its own.
    """

    context: F64
    action: I64
    reward: F64
    pscore: F64
    n_actions: int
    position: I64
    slate_id: I64 | None


def checked_log(arrays: Mapping[str, Array]) -> LoggedBandit:
    """The log in obp's arrays; position and slate_id may be absent, others are not looked at.

    Raises:
        NotALogError: an array is missing, or has a wrong shape, type or range.
    """
    missing = [name for name in _REQUIRED if name not in arrays]
    if missing:
        raise NotALogError(f"{', '.join(missing)}: missing")
    n_actions = _n_actions(arrays["n_actions"])
    action = _whole("action", arrays["action"], None, n_actions - 1)
    rows = len(action)
    if not ROWS_MIN <= rows <= ROWS_MAX:
        raise NotALogError(f"action: {rows} rows; a log has {ROWS_MIN} to {ROWS_MAX}")
    pscore = _real("pscore", arrays["pscore"], (rows,))
    is_good = (pscore >= PSCORE_MIN) & (pscore <= 1.0)
    if not is_good.all():
        row = int(np.argmin(is_good))
        raise NotALogError(f"pscore: {pscore[row]:g} in row {row} is not in (0, 1]")
    if arrays["context"].ndim != 2:
        raise NotALogError(f"context: shape {arrays['context'].shape} is not ({rows}, d)")
    columns = arrays["context"].shape[1]
    if columns > COLUMNS_MAX or columns * rows > CONTEXT_CELLS_MAX:
        raise NotALogError(f"context: {columns} columns; at most {COLUMNS_MAX}, and {CONTEXT_CELLS_MAX} cells")
    return LoggedBandit(
        context=_real("context", arrays["context"], (rows, columns)),
        action=action,
        reward=_real("reward", arrays["reward"], (rows,)),
        pscore=pscore,
        n_actions=n_actions,
        position=_position(arrays.get("position"), rows),
        slate_id=_slate_id(arrays.get("slate_id"), rows),
    )


def checked_target(action_dist: Array, log: LoggedBandit) -> Array:
    """The target's probabilities of every action in each row, (n, n_actions), of the row's own slot; float32 or float64.

    action_dist is (n, n_actions), the same for every slot, or (n, n_actions, len_list).

    Raises:
        NotALogError: a wrong shape or type, a slot it does not have, or rows that are no distributions.
    """
    rows = len(log.action)
    shape = action_dist.shape
    if len(shape) not in {2, 3} or shape[:2] != (rows, log.n_actions):
        raise NotALogError(
            f"action_dist: shape {shape} is not ({rows}, {log.n_actions}) or ({rows}, {log.n_actions}, len_list)"
        )
    if action_dist.dtype.kind not in "fiu":
        raise NotALogError(f"action_dist: {action_dist.dtype} is not a number")
    if action_dist.size > CELLS_MAX:
        raise NotALogError(f"action_dist: {action_dist.size} cells, more than {CELLS_MAX}")
    slots = shape[2] if len(shape) == 3 else SLOTS_MAX
    if log.position.max() >= slots:
        raise NotALogError(f"position: slot {log.position.max()} of the log is not among the {slots} of action_dist")
    if len(shape) == 3:
        action_dist = action_dist[np.arange(rows), :, log.position]
    for start in range(0, rows, _CHUNK_ROWS):
        _check_distributions(action_dist[start : start + _CHUNK_ROWS], start)
    return action_dist if action_dist.dtype in {np.float32, np.float64} else action_dist.astype(np.float64)


def _check_distributions(probabilities: Array, start: int) -> None:
    low, sums = probabilities.min(axis=1), probabilities.sum(axis=1, dtype=np.float64)
    is_good = (low >= 0.0) & (np.abs(sums - 1.0) <= SUM_TOLERANCE)  # NaN is neither
    if not is_good.all():
        row = int(np.argmin(is_good))
        raise NotALogError(f"action_dist: row {start + row} is no distribution (least {low[row]:g}, sum {sums[row]:g})")


def _n_actions(value: Array) -> int:
    if value.size != 1 or value.dtype.kind not in "iu":
        raise NotALogError(f"n_actions: must be one whole number, not {value.dtype} of shape {value.shape}")
    n_actions = int(value.reshape(-1)[0])
    if not 1 <= n_actions <= ACTIONS_MAX:
        raise NotALogError(f"n_actions: {n_actions} is not in 1 to {ACTIONS_MAX}")
    return n_actions


def _real(name: str, values: Array, shape: tuple[int, ...]) -> F64:
    if values.dtype.kind not in "fiub":
        raise NotALogError(f"{name}: {values.dtype} is not a number")
    if values.shape != shape:
        raise NotALogError(f"{name}: shape {values.shape} is not {shape}")
    real: F64 = values.astype(np.float64)
    if not (np.abs(real) <= NUMBER_MAX).all():
        raise NotALogError(f"{name}: NaN, infinite, or larger than {NUMBER_MAX:g}")
    return real


def _whole(name: str, values: Array, rows: int | None, highest: int) -> I64:
    if values.dtype.kind not in "iu":
        raise NotALogError(f"{name}: {values.dtype} is not a whole number")
    if values.ndim != 1 or (rows is not None and len(values) != rows):
        raise NotALogError(f"{name}: shape {values.shape} is not ({'n' if rows is None else rows},)")
    if values.size and (values.min() < 0 or values.max() > highest):
        raise NotALogError(f"{name}: {values.min()} to {values.max()} is not within 0 to {highest}")
    return values.astype(np.int64)


def _position(values: Array | None, rows: int) -> I64:
    if values is None or _is_none(values):
        return np.zeros(rows, np.int64)
    return _whole("position", values, rows, SLOTS_MAX - 1)


def _slate_id(values: Array | None, rows: int) -> I64 | None:
    if values is None or _is_none(values):
        return None
    _whole("slate_id", values, rows, int(np.iinfo(np.int64).max))
    numbered: I64 = np.unique(values, return_inverse=True)[1].astype(np.int64)
    return numbered


def _is_none(values: Array) -> bool:
    """Whether the array stands for an absent one, as in obp's dictionaries where position may be None."""
    return values.size == 0
