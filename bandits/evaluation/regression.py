"""What reward to expect of each action: ridge on context and action, cross-fitted.

    reward(x, a) = z . beta + z . gamma_a,    z = (1, standardised context, slot)

beta is shared by all actions, its slopes N(0, t); gamma_a is the action's own, N(0, diag(t0, t1 .. t1)). The variances are found by
moments: with b = Z'e over some rows and their residuals e, E |b|^2 = s^2 tr G + tr(G^2 T). So where the context tells
nothing, or actions do not differ, nothing is fitted to noise, and actions seen a few times keep close to the shared part.
"""

from typing import Final, NamedTuple

import numpy as np

from bandits.evaluation.estimate import F64, I64, Bounds
from bandits.evaluation.logged import Array, LoggedBandit

FOLDS: Final = 5
ACTION_CELLS_MAX: Final = 20_000_000
"""Above this size of all actions' Gram matrices together an action has an intercept of its own, and no slopes."""

_CHUNK_CELLS: Final = 5_000_000
_RIDGE_MIN: Final = 1e-6
_VARIANCE_MIN: Final = 1e-12


class Expected(NamedTuple):
    """Of each row (n,): the reward expected of the logged action, and of the target's; and the fold it was held out with."""

    logged: F64
    target: F64
    fold: I64


class _Sums(NamedTuple):
    """Sums over the rows of each action, of z z' (K, p, d) and z y (K, p); and over all rows, (d, d), (d,), y y and their number.

    An action's own part has the first p of the d columns: all, or the intercept alone.
    """

    gram: F64
    response: F64
    shared_gram: F64
    shared_response: F64
    square: float
    rows: int


def expect(log: LoggedBandit, target: Array, bounds: Bounds, seed: int = 0) -> Expected:
    """The expectations of every row by a regression on the other folds; target is (n, n_actions).

    Rows of one slate stay in one fold. The folds depend on seed and number of rows alone.
    """
    design = _design(log)
    own_columns = design.shape[1] if log.n_actions * design.shape[1] ** 2 <= ACTION_CELLS_MAX else 1
    fold = _folds(log, seed)
    expected = Expected(np.empty(len(fold)), np.empty(len(fold)), fold)
    for held_out in range(int(fold.max()) + 1):
        train, test = np.flatnonzero(fold != held_out), np.flatnonzero(fold == held_out)
        sums = _sum(design[train], log.action[train], log.reward[train], log.n_actions, own_columns)
        _predict(design, test, log.action, target, _coefficients(sums), bounds, expected)
    return expected


def _folds(log: LoggedBandit, seed: int) -> I64:
    unit = np.arange(len(log.action)) if log.slate_id is None else log.slate_id
    units = int(unit.max()) + 1
    of_unit: I64 = np.random.default_rng(seed).permutation(units) % min(FOLDS, max(units, 1))
    return of_unit[unit]


def _design(log: LoggedBandit) -> F64:
    """(n, 1 + d + slots - 1): an intercept, the context in units of its standard deviation, and the slot."""
    spread = log.context.std(axis=0)
    spread[spread <= 1e-12 * np.abs(log.context).max(axis=0, initial=0.0)] = 1.0
    scaled = (log.context - log.context.mean(axis=0)) / spread
    slots = (log.position[:, None] == np.arange(1, log.position.max() + 1)).astype(np.float64)
    return np.hstack([np.ones((len(scaled), 1)), scaled, slots])


def _sum(design: F64, action: I64, reward: F64, n_actions: int, own: int) -> _Sums:
    order = np.argsort(action, kind="stable")
    design, reward = design[order], reward[order]
    edges = np.searchsorted(action[order], np.arange(n_actions + 1))
    gram, response = np.zeros((n_actions, own, design.shape[1])), np.zeros((n_actions, own))
    for arm in np.flatnonzero(np.diff(edges)):
        rows = design[edges[arm] : edges[arm + 1]]
        gram[arm] = rows[:, :own].T @ rows
        response[arm] = rows[:, :own].T @ reward[edges[arm] : edges[arm + 1]]
    return _Sums(gram, response, design.T @ design, design.T @ reward, float(reward @ reward), len(reward))


def _coefficients(sums: _Sums) -> F64:
    """The sum of beta and gamma_a for every action, (K, d)."""
    shared, noise = _shared(sums)
    residual = sums.response - sums.gram @ shared
    own = residual.shape[1]
    gram = sums.gram[:, :, :own]
    penalty = np.diag(_own_penalty(gram, residual, noise))
    coefficients = np.tile(shared, (len(residual), 1))
    coefficients[:, :own] += np.linalg.solve(gram + penalty, residual[:, :, None])[:, :, 0]
    return coefficients


def _shared(sums: _Sums) -> tuple[F64, float]:
    """The shared beta (d,), and the variance it leaves of the rewards."""
    gram, response = sums.shared_gram, sums.shared_response
    shared = np.linalg.solve(gram + np.diag(_ridge(sums)), response).astype(np.float64)
    left = float(sums.square - 2.0 * shared @ response + shared @ gram @ shared)
    return shared, max(left / sums.rows, _VARIANCE_MIN)


def _ridge(sums: _Sums) -> F64:
    """The penalty of each shared coefficient, (d,)."""
    rows, gram, response = sums.rows, sums.shared_gram, sums.shared_response
    mean = gram[0] / rows
    centred, pull = gram - rows * np.outer(mean, mean), response - response[0] * mean
    noise = max(sums.square / rows - float(response[0] / rows) ** 2, _VARIANCE_MIN)
    slope = float(pull @ pull - noise * np.trace(centred)) / max(float((centred**2).sum()), _VARIANCE_MIN)
    ridge = np.full(len(response), noise / max(slope, _VARIANCE_MIN) + _RIDGE_MIN)
    ridge[0] = _RIDGE_MIN
    return ridge


def _own_penalty(gram: F64, residual: F64, noise: float) -> F64:
    """The penalty of each of an action's own coefficients, (p,)."""
    return noise / _own_variances(gram, residual, noise) + _RIDGE_MIN


def _own_variances(gram: F64, residual: F64, noise: float) -> F64:
    """The prior variance of each of an action's own coefficients, (p,), by moments; at least _VARIANCE_MIN."""
    rows, slopes = gram[:, 0, 0], gram[:, 1:, 1:]
    between = float((gram[:, 0, 1:] ** 2).sum())
    matrix = np.array([[float((rows**2).sum()), between], [between, float((slopes**2).sum())]])
    excess = np.array(
        [
            float((residual[:, 0] ** 2).sum() - noise * rows.sum()),
            float((residual[:, 1:] ** 2).sum() - noise * np.trace(slopes, axis1=1, axis2=2).sum()),
        ]
    )
    intercept, slope = np.linalg.lstsq(matrix, excess, rcond=None)[0]
    if slope <= 0.0:
        intercept, slope = excess[0] / max(matrix[0, 0], 1.0), 0.0
    elif intercept <= 0.0:
        intercept, slope = 0.0, excess[1] / max(matrix[1, 1], 1.0)
    variances = np.full(residual.shape[1], max(slope, _VARIANCE_MIN))
    variances[0] = max(intercept, slope, _VARIANCE_MIN)  # a model that is wrong in its slopes needs the intercepts most
    return variances


def _predict(
    design: F64, rows: I64, action: I64, target: Array, coefficients: F64, bounds: Bounds, expected: Expected
) -> None:
    """Writes the expectations of the rows, in chunks: rows x actions is never held whole."""
    step = max(1, _CHUNK_CELLS // len(coefficients))
    for start in range(0, len(rows), step):
        chunk = rows[start : start + step]
        rewards = np.clip(design[chunk] @ coefficients.T, bounds.reward_low, bounds.reward_high)
        expected.logged[chunk] = rewards[np.arange(len(chunk)), action[chunk]]
        expected.target[chunk] = np.einsum("na,na->n", rewards, target[chunk])
