"""Slow, obvious twins of the estimators and of the cross-fitted regression: loops over rows, one action at a time."""

import numpy as np
from numpy.typing import NDArray

from bandits.evaluation.logged import LoggedBandit

F64 = NDArray[np.float64]


def ips(log: LoggedBandit, target: F64) -> float:
    total = 0.0
    for row, action in enumerate(log.action):
        total += target[row, action] / log.pscore[row] * log.reward[row]
    return total / len(log.action)


def snips(log: LoggedBandit, target: F64) -> float:
    weights = [target[row, action] / log.pscore[row] for row, action in enumerate(log.action)]
    return sum(w * r for w, r in zip(weights, log.reward, strict=True)) / sum(weights)


def doubly_robust(log: LoggedBandit, target: F64, rewards: F64) -> float:
    """With the expected reward of every action in every row, (n, K)."""
    total = 0.0
    for row, action in enumerate(log.action):
        direct = sum(target[row, arm] * rewards[row, arm] for arm in range(log.n_actions))
        weight = target[row, action] / log.pscore[row]
        total += direct + weight * (log.reward[row] - rewards[row, action])
    return total / len(log.action)


def shared_and_own_ridge(z: F64, action: NDArray[np.int64], y: F64, ridge: F64, own_ridge: F64, n_actions: int) -> F64:
    """beta + gamma_a of every action, (K, p), from the rows themselves."""
    beta = np.linalg.lstsq(np.vstack([z, np.diag(np.sqrt(ridge))]), np.append(y, np.zeros(len(ridge))), rcond=None)[0]
    found = []
    for arm in range(n_actions):
        rows = z[action == arm]
        left = y[action == arm] - rows @ beta
        stacked = np.vstack([rows, np.diag(np.sqrt(own_ridge))])
        found.append(beta + np.linalg.lstsq(stacked, np.append(left, np.zeros(z.shape[1])), rcond=None)[0])
    return np.array(found)
