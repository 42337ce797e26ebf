"""Logs of a small world whose truth is known, many at once: the same people answer every policy the same way in the mean."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandits.evaluation.logged import LoggedBandit

F64 = NDArray[np.float64]
ACTIONS, DIMS = 4, 3


class Rows(NamedTuple):
    """context (…, d), and of every action (…, K): chance of a reward, of the logging policy and of the target."""

    context: F64
    chance: F64
    logging: F64
    target: F64


def rows(rng: np.random.Generator, n: int, floor: float = 0.2) -> Rows:
    taste = np.array([[0.9, 0.0, -0.4], [-0.5, 0.8, 0.0], [0.0, -0.7, 0.6], [0.3, 0.3, 0.3]])
    context = rng.normal(size=(n, DIMS))
    score = context @ taste.T
    logging = np.exp(0.8 * score[:, ::-1])
    target = np.exp(1.2 * score)
    return Rows(
        context,
        1.0 / (1.0 + np.exp(1.2 - score)),
        (1.0 - floor) * logging / logging.sum(axis=1, keepdims=True) + floor / ACTIONS,
        target / target.sum(axis=1, keepdims=True),
    )


def value(floor: float = 0.2) -> float:
    """The truth: what the target earns in the mean of 400,000 people."""
    world = rows(np.random.default_rng(7), 400_000, floor)
    return float((world.chance * world.target).sum(axis=1).mean())


def logged(rng: np.random.Generator, n: int, floor: float = 0.2) -> tuple[LoggedBandit, F64]:
    """A log of n rows and the target's probabilities (n, K)."""
    world = rows(rng, n, floor)
    action = (world.logging.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, ACTIONS - 1)
    at = np.arange(n)
    reward = (rng.random(n) < world.chance[at, action]).astype(np.float64)
    log = LoggedBandit(world.context, action, reward, world.logging[at, action], ACTIONS, np.zeros(n, np.int64), None)
    return log, world.target
