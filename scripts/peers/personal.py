"""What the personal layer earns: the same household-weeks and seeds without it and with it, for all people and for the worst tenth."""

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from typing import Any, Final, NamedTuple

from scripts.peers import interval
from scripts.peers.interval import Interval
from service.demo import groceries
from service.replay import journey, people, shopping
from service.replay.journey import Year

MEASURES: Final = {
    "mean": "all people",
    "worst_decile": "worst tenth",
    "missed_by_worst_decile": "missed by the tenth that miss most (less is better)",
}


class Row(NamedTuple):
    """One world and measure: mean rewards over the seeds, and the gain seed by seed with its 95 % interval."""

    without: float
    with_layer: float
    gain: Interval


def measure(households: int, seeds: range, processes: int) -> dict[str, Row]:
    """By "world, whom"."""
    with ProcessPoolExecutor(processes) as pool:
        found = []
        for seed, told in zip(seeds, pool.map(partial(_one_seed, households), seeds), strict=True):
            found.append(told)
            print(f"seed {seed} is played", file=sys.stderr, flush=True)
    return {f"{world}, {whom}": row(found, world, what) for world in people.WORLDS for what, whom in MEASURES.items()}


def row(found: Sequence[Mapping[str, Any]], world: str, what: str) -> Row:
    """Of what `people.compare` told, seed by seed."""
    without, with_layer = (
        [float(one["worlds"][world][name][0][what]) for one in found] for name in ("without", "with")
    )
    gains = [after - before for before, after in zip(without, with_layer, strict=True)]
    return Row(sum(without) / len(without), sum(with_layer) / len(with_layer), interval.of_mean(gains))


def _one_seed(households: int, seed: int) -> dict[str, Any]:
    return people.compare(_year(), households, range(seed, seed + 1))


@cache
def _year() -> Year:
    """Once a process."""
    return journey.ready(shopping.of_year(groceries.load(), people.FIRST_RANK, people.LAST_RANK))
