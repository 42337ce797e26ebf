"""Where people differ the personal layer earns, most for those whom the others speak least for; where they do not it costs next to nothing.

The shared model is the best there is: fitted to all outcomes of the very world. What is gained is gained over that.
"""

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from bandits import personal, personal_variance
from bandits.personal import LoggedRow, Personal

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

PEOPLE, OFFERS, WEEKS = 160, 24, 40
DAY_S = 86_400.0
START_S = 1_772_000_000.0
FLOOR = 0.005


class World(NamedTuple):
    """phi (weeks, people, offers, 4): bias and the slopes; axes (offers, AXES); reward (weeks, people, offers)."""

    phi: F32
    axes: F32
    reward: NDArray[np.bool_]


def world(kind: str, seed: int) -> World:
    rng = np.random.default_rng(seed)
    axes = rng.normal(size=(OFFERS, personal.AXES)).astype(np.float32)
    habit = rng.normal(-3.0, 1.2, (PEOPLE, OFFERS))
    bought = rng.random((WEEKS + 8, PEOPLE, OFFERS)) < 1.0 / (1.0 + np.exp(-habit))
    phi = np.ones((WEEKS, PEOPLE, OFFERS, 4), np.float32)
    reward = bought[8:].copy()
    odd = rng.random(PEOPLE) < 0.3
    deaf = (rng.normal(size=(PEOPLE, personal.AXES)) @ axes.T) < -0.5
    since = np.full((PEOPLE, OFFERS), 60.0)
    for week in range(WEEKS + 8):
        if week >= 8:
            phi[week - 8, :, :, 1:] = np.stack([habit + 3.0, 2.0 ** (-since / 3.0), 2.0 ** (-since / 14.0)], -1)
            if kind == "what was not bought lately":
                reward[week - 8] &= ~odd[:, None] | (since > 28.0)
            elif kind == "half of all tastes":
                reward[week - 8] &= ~deaf
        since = np.where(bought[week], rng.uniform(0.5, 7.0, since.shape), since + 7.0)
    return World(phi, axes, reward)


def shared_weights(given: World) -> F64:
    x, y = given.phi.reshape(-1, 4).astype(np.float64), given.reward.ravel()
    weights = np.zeros(4)
    for _ in range(12):
        chance = 1.0 / (1.0 + np.exp(-x @ weights))
        hessian = (x * (chance * (1.0 - chance))[:, None]).T @ x + np.eye(4)
        weights += np.linalg.solve(hessian, x.T @ (y - chance) - weights)
    return weights


def play(given: World, *, is_personal: bool, seed: int) -> tuple[F64, tuple[float, ...]]:
    """Mean reward of each person, and the variances at the end."""
    rng = np.random.default_rng(seed)
    weights, variances = shared_weights(given), personal.VARIANCES
    people, earned = [Personal() for _ in range(PEOPLE)], np.zeros(PEOPLE)
    may_be = np.ones(OFFERS, np.bool_)
    for week in range(WEEKS):
        now_s = START_S + week * 7 * DAY_S
        if is_personal and week % 3 == 0:
            variances = personal_variance.learn(np.array([one.at(now_s) for one in people]), variances)
        for user, own in enumerate(people):
            eta = given.phi[week, user] @ weights
            offset = np.zeros(OFFERS)
            if is_personal:
                z = personal.z_of(given.phi[week, user], (1, 2, 3), given.axes, may_be)
                scores = personal.scores(z, own.pack(), variances, now_s)
                offset = z @ scores.mean
            offer = int(np.argmax(eta + offset)) if rng.random() > FLOOR else int(rng.integers(OFFERS))
            earned[user] += given.reward[week, user, offer]
            if is_personal:
                row = LoggedRow(z[offer], float(eta[offer] + offset[offer]), float(offset[offer]))
                own.shown(row, now_s)
                if given.reward[week, user, offer]:
                    own.redeemed(row, now_s)
    return earned / WEEKS, variances


def lower_half(earned: F64) -> float:
    return float(np.sort(earned)[: len(earned) // 2].mean())


@pytest.mark.parametrize(("kind", "gain"), [("what was not bought lately", 1.015), ("half of all tastes", 1.05)])
def test_it_earns_where_people_differ(kind: str, gain: float) -> None:
    given = world(kind, seed=1)
    without, _ = play(given, is_personal=False, seed=1)
    own, _ = play(given, is_personal=True, seed=1)
    assert own.mean() > gain * without.mean()
    assert lower_half(own) > lower_half(without)


def test_it_costs_next_to_nothing_where_they_are_alike() -> None:
    given = world("alike", seed=1)
    without, _ = play(given, is_personal=False, seed=1)
    own, variances = play(given, is_personal=True, seed=1)
    assert own.mean() > 0.99 * without.mean()
    assert max(variances) <= 0.01
