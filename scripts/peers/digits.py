"""The 1,797 digits of scikit-learn as a bandit of ten arms: `python -m scripts.peers.digits digits.npz` makes the rounds of `welltimed replay`.

A round is a picture; its arms are the ten digits, of which one is right. An arm's features are the picture and a 1 in the block of its own
digit and 0 elsewhere, so the shared model is a model an arm.
"""

import sys
from pathlib import Path
from typing import Final

import numpy as np

from service.replay import learners, player
from service.replay.player import Pace
from service.replay.rounds import Rounds

ROUNDS: Final = 5_000
ARMS: Final = 10
BRIGHTEST: Final = 16.0
SEED: Final = 1
"""Of the order of the pictures: neither a good one nor a bad one."""


def rounds(count: int = ROUNDS, seed: int = SEED) -> Rounds:
    """So many pictures, drawn anew when all have been shown, each time in another order."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - only where it is installed

    found = load_digits()
    right = found.target
    pictures = np.c_[found.data / BRIGHTEST, np.ones(len(right))].astype(np.float32)
    rng = np.random.default_rng(seed)
    shown = np.concatenate([rng.permutation(len(right)) for _ in range(-(-count // len(right)))])[:count]
    pixels = pictures.shape[1]
    phi = np.zeros((count, ARMS, ARMS * pixels), np.float32)
    for arm in range(ARMS):
        phi[:, arm, arm * pixels : (arm + 1) * pixels] = pictures[shown]
    reward = (np.arange(ARMS) == right[shown][:, None]).astype(np.float64)
    return Rounds(phi, reward, np.ones(reward.shape, np.bool_))


def earned(name: str, seeds: range) -> list[float]:
    """Mean reward of a policy that knows nothing of the features, by seed of the order and the draws."""
    found = []
    for seed in seeds:
        given = rounds(seed=seed)
        arms = player.play(learners.generic(name, given, Pace()), given, Pace(), seed)
        found.append(float(given.earned(arms).mean()))
    return found


if __name__ == "__main__":
    made = rounds()
    np.savez_compressed(Path(sys.argv[1]), phi=made.phi, reward=made.reward)
