"""Who earns what on the grocery year: the same rounds and the same features for all, other rounds with every seed."""

import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from math import sqrt
from statistics import fmean, stdev
from typing import NamedTuple

from bandits.learners import build
from scripts.peers import library
from scripts.peers.peer import Maker
from service.demo import groceries
from service.replay import journey, journey_references, learners, player, references, shopping
from service.replay.journey import Year
from service.replay.journey_replay import HABIT
from service.replay.player import Pace
from service.replay.rounds import F64, Rounds

OURS = "welltimed"
FIRST = 1_000
# 97.5 % points of Student's t for 1, 2, … 29 degrees of freedom.
T_QUANTILES = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045,
)  # fmt: skip

Means = Mapping[str, tuple[float, float]]
"""By name, the mean reward over all rounds and over the first."""


class Row(NamedTuple):
    """One line of the table; `gain` is ours minus this one, seed by seed, with its 95 % interval (Student's t)."""

    mean: float
    first: float
    gain: float
    low: float
    high: float


def compare(ranks: tuple[int, int], rounds: int, seeds: range, processes: int) -> dict[str, Row]:
    """Every peer at its best setting, ours and the references, by name; ours first."""
    with ProcessPoolExecutor(processes) as pool:
        found: list[Means] = []
        for one in pool.map(partial(_one_seed, ranks, rounds), seeds):
            found.append(one)
            print(f"seed {seeds[len(found) - 1]}: {_told(one)}", file=sys.stderr, flush=True)
    return {name: _row(found, name) for name in found[0]}


def _one_seed(ranks: tuple[int, int], count: int, seed: int) -> Means:
    year = _year(ranks)
    drawn = journey.draw(year, count, seed)
    rounds = drawn.rounds
    learner = learners.of_product(build.DEFAULT, rounds, Pace(), HABIT)
    rewards = {OURS: rounds.earned(player.play(learner, rounds, Pace(), seed))}
    for name, module in library.installed().items():
        rewards[name] = play(library.best(module), rounds, seed)
    rewards |= references.plain(rounds)
    rewards |= journey_references.rewards(drawn, year.shopping, rounds.phi[:, :, HABIT])
    return {name: (float(reward.mean()), float(reward[:FIRST].mean())) for name, reward in rewards.items()}


@cache
def _year(ranks: tuple[int, int]) -> Year:
    """Once a process."""
    return journey.ready(shopping.of_year(groceries.load(), *ranks))


def play(make: Maker, rounds: Rounds, seed: int) -> F64:
    """(rounds,) what a library earned."""
    arms, dims = rounds.phi.shape[1:]
    peer = make(seed, arms, dims)
    earned = rounds.reward[:, 0].copy()
    for round_ in range(rounds.length):
        phi = rounds.phi[round_]
        arm = peer.decide(phi)
        earned[round_] = rounds.reward[round_, arm]
        peer.learn(phi[arm], float(earned[round_]))
    return earned


def _row(found: list[Means], name: str) -> Row:
    gains = [one[OURS][0] - one[name][0] for one in found]
    gain = fmean(gains)
    around = 0.0
    if len(gains) > 1:
        around = T_QUANTILES[min(len(gains), 30) - 2] * stdev(gains) / sqrt(len(gains))
    return Row(
        fmean(one[name][0] for one in found), fmean(one[name][1] for one in found), gain, gain - around, gain + around
    )


def _told(means: Means) -> str:
    return ", ".join(f"{name} {mean:.4f}" for name, (mean, _) in means.items())
