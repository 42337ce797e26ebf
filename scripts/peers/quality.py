"""Who earns what on the grocery year: the same rounds and the same features for all, other rounds with every seed."""

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import Final, NamedTuple

from bandits.learners import build
from scripts.peers import interval, library
from scripts.peers.kept import Kept, Means, fingerprint
from scripts.peers.peer import Maker
from service.demo import groceries
from service.replay import journey, journey_references, learners, player, references, shopping
from service.replay.journey import Year
from service.replay.journey_replay import HABIT
from service.replay.player import Pace
from service.replay.rounds import F64, Rounds

OURS: Final = "welltimed"
HABIT_ALONE: Final = "habit alone (`lp`), greedy"
FIRST: Final = 1_000
SEARCHED: Final = range(200, 204)
"""The seeds settings were chosen on: all on the first two, the best eight of a library on the others."""
SEARCHED_FIRST: Final = 2
SEARCHED_FURTHER: Final = 8


class Asked(NamedTuple):
    """The rounds of a comparison: ranks of the categories, how many, which seeds.

    `libraries` of library.NAMES take part, plays are kept in the file `keep`, and so many processes play at once.
    """

    ranks: tuple[int, int]
    rounds: int
    seeds: range
    libraries: Sequence[str]
    keep: Path | None
    processes: int


class Row(NamedTuple):
    """One line of the table; `gain` is ours minus this one, seed by seed, with its 95 % interval (Student's t); `ahead` the seeds where it is above 0."""

    mean: float
    first: float
    gain: float
    low: float
    high: float
    ahead: int


def compare(asked: Asked) -> dict[str, Row]:
    """Every peer at its best setting, ours and the references, by name; ours first."""
    found = _seed_by_seed(partial(_one_seed, asked), asked)
    return {name: row(found, name) for name in found[0]}


def search(asked: Asked) -> dict[str, list[Means]]:
    """Settings of every peer, by "library: setting", seed by seed: all of them on the first seeds, each library's best on the others."""
    first = asked._replace(seeds=asked.seeds[:SEARCHED_FIRST])
    found = _seed_by_seed(partial(_settings, asked, None), first)
    told = {name: [one[name] for one in found] for name in found[0]}
    best = frozenset(
        name
        for library_name in asked.libraries
        for name in sorted(
            (name for name in told if name.startswith(f"{library_name}: ")),
            key=lambda name: -fmean(one.mean for one in told[name]),
        )[:SEARCHED_FURTHER]
    )
    for one in _seed_by_seed(partial(_settings, asked, best), asked._replace(seeds=asked.seeds[SEARCHED_FIRST:])):
        for name, means in one.items():
            told[name].append(means)
    return told


def row(found: Sequence[Mapping[str, Means]], name: str) -> Row:
    """The line of one of those that were played, of what each earned seed by seed."""
    gains = [one[OURS].mean - one[name].mean for one in found]
    mean, first = fmean(one[name].mean for one in found), fmean(one[name].first for one in found)
    return Row(mean, first, *interval.of_mean(gains), sum(gain > 0.0 for gain in gains))


def _seed_by_seed(play_one: partial[dict[str, Means]], asked: Asked) -> list[dict[str, Means]]:
    with ProcessPoolExecutor(asked.processes) as pool:
        found = []
        for seed, one in zip(asked.seeds, pool.map(play_one, asked.seeds), strict=True):
            found.append(one)
            told = ", ".join(f"{name} {means.mean:.4f}" for name, means in one.items())
            print(f"seed {seed}: {told}", file=sys.stderr, flush=True)
    return found


def _one_seed(asked: Asked, seed: int) -> dict[str, Means]:
    year = _year(asked.ranks)
    drawn = journey.draw(year, asked.rounds, seed)
    rounds = drawn.rounds
    learner = learners.of_product(build.DEFAULT, rounds, Pace(), HABIT)
    means = {OURS: _means(rounds.earned(player.play(learner, rounds, Pace(), seed)))}
    kept, name_of_rounds = Kept(asked.keep), fingerprint(rounds)
    for name, module in _modules(asked).items():
        means[name] = _kept(kept, name_of_rounds, rounds, seed, name, module.BEST, library.best(module))
    rewards = {HABIT_ALONE: rounds.earned(rounds.phi[:, :, HABIT].argmax(axis=1))}
    rewards |= references.plain(rounds)
    rewards |= journey_references.rewards(drawn, year.shopping, rounds.phi[:, :, HABIT])
    return means | {name: _means(reward) for name, reward in rewards.items()}


def _settings(asked: Asked, wanted: frozenset[str] | None, seed: int) -> dict[str, Means]:
    """None wants all."""
    rounds = journey.draw(_year(asked.ranks), asked.rounds, seed).rounds
    kept, name_of_rounds = Kept(asked.keep), fingerprint(rounds)
    return {
        f"{name}: {setting}": _kept(kept, name_of_rounds, rounds, seed, name, setting, make)
        for name, module in _modules(asked).items()
        for setting, make in library.settings(module).items()
        if wanted is None or f"{name}: {setting}" in wanted
    }


def _modules(asked: Asked) -> dict[str, ModuleType]:
    return {name: module for name, module in library.installed().items() if name in asked.libraries}


def _kept(kept: Kept, name_of_rounds: str, rounds: Rounds, seed: int, name: str, setting: str, make: Maker) -> Means:
    who = f"{name} {library.version_of(name)}, {setting}"
    found = kept.get(who, seed, name_of_rounds)
    if found is None:
        found = _means(play(make, rounds, seed))
        kept.add(who, seed, name_of_rounds, found)
    return found


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


def _means(reward: F64) -> Means:
    return Means(float(reward.mean()), float(reward[:FIRST].mean()))
