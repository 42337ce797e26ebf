"""The same people with and without the personal layer: all weeks of some households, in the year as it was and where people differ.

In two worlds the year is made to differ from person to person: some answer only to what they did not buy for four weeks, or everybody is deaf to
a part of all tastes of their own. Everything else is the product's: features, map of tastes, shared posterior, draw.
"""

import json
import sys
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits import features, personal, taste_map
from service.demo import groceries
from service.replay import journey
from service.replay import shopping as shopping_of
from service.replay.journey import Year
from service.replay.people_player import Walk, play
from service.replay.shopping import WEEKS

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

WORLDS: Final = ("as_it_was", "not_bought_lately", "deaf_to_tastes")
ODD_SHARE: Final = 0.3
LATELY_S: Final = 28 * 86400.0
DEAF_BELOW: Final = -1.5
"""Of a person's liking of a thing, which has a deviation of about two: near a quarter of all things."""

WORST: Final = 0.1
FIRST_RANK, LAST_RANK = 41, 90


class Homes(NamedTuple):
    """Some households through all weeks.

    Attributes:
        phi: (WEEKS, people, arms, features.DIMS).
        axes: (WEEKS, arms, AXES) of the map of tastes in force.
        bought: (WEEKS, people, arms) what they bought in the week.
        since_s: (WEEKS, people, arms) since they last bought it before the week, infinite for never.
        begins_s: (WEEKS,) Unix seconds.
    """

    phi: F32
    axes: F32
    bought: Flags
    since_s: F64
    begins_s: F64


def compare(year: Year, households: int, seeds: range) -> dict[str, Any]:
    """Mean reward of all people and of the worst tenth of each play, without the layer and with it, by world and seed, as it goes out in JSON.

    The worst tenth buy hardly anything, so who loses most is told too: a week's reward that was to be had and was not earned, in the mean of the
    tenth with most of it.
    """
    told: dict[str, Any] = {"households": households, "seeds": list(seeds), "worlds": {}}
    for seed in seeds:
        homes = settle(year, households, seed)
        for world in WORLDS:
            reward = in_world(world, homes, seed)
            of_world = told["worlds"].setdefault(world, {"without": [], "with": [], "variances": []})
            for name in ("without", "with"):
                walk = Walk(homes.phi, homes.axes, homes.begins_s, reward)
                earned, variances = play(walk, seed, is_personal=name == "with")
                missed = reward.any(axis=2).mean(axis=0) - earned
                of_world[name].append(
                    {
                        "mean": float(earned.mean()),
                        "worst_decile": _worst(earned),
                        "missed_by_worst_decile": -_worst(-missed),
                    }
                )
            of_world["variances"].append(list(variances))
    return told


def settle(year: Year, count: int, seed: int) -> Homes:
    """`count` households drawn by the seed, with the features of all their weeks."""
    shopping = year.shopping
    drawn = np.random.default_rng(seed).choice(len(shopping.baskets.household_ids), count, replace=False)
    households = np.sort(drawn)
    phi = journey.features_of(year, np.tile(households, WEEKS), np.repeat(np.arange(WEEKS), count))
    tags = shopping.tags.astype(np.int16)[:, None]
    last_s = shopping.last_s[households].transpose(1, 0, 2)
    since_s = shopping.begins_s[:, None, None] - last_s.astype(np.float64)
    return Homes(
        phi.reshape(WEEKS, count, len(tags), features.DIMS),
        np.stack([taste_map.axes_of(known, tags) for known in year.maps]),
        shopping.bought_in[households].transpose(1, 0, 2),
        np.where(last_s > 0, since_s, np.inf),
        shopping.begins_s.astype(np.float64),
    )


def in_world(world: str, homes: Homes, seed: int) -> Flags:
    """(WEEKS, people, arms) what would be redeemed."""
    rng = np.random.default_rng(1_000 + seed)
    people = homes.bought.shape[1]
    if world == "not_bought_lately":
        is_as_ever: Flags = rng.random((people, 1)) >= ODD_SHARE
        return homes.bought & (is_as_ever | (homes.since_s > LATELY_S))
    if world == "deaf_to_tastes":
        hears: Flags = rng.normal(size=(people, personal.AXES)) @ _true_axes(homes) > DEAF_BELOW
        return homes.bought & hears
    return homes.bought


def _true_axes(homes: Homes) -> F64:
    """(AXES, arms) of this world: by what these people bought of the arms in all weeks, not by the map the engine has."""
    roots = np.sqrt(homes.bought.mean(axis=0))
    roots = (roots - roots.mean(axis=0)) / np.maximum(roots.std(axis=0), 1e-6)
    *_, axes = np.linalg.svd(roots, full_matrices=False)
    true: F64 = axes[: personal.AXES] * np.sqrt(axes.shape[1])
    return true


def _worst(earned: F64) -> float:
    return float(np.sort(earned)[: max(round(WORST * len(earned)), 1)].mean())


def main() -> None:
    """`python -m service.replay.people [HOUSEHOLDS [SEEDS]]` prints the comparison as JSON."""
    households, seeds = (int(one) for one in (*sys.argv[1:], *("600", "3")[len(sys.argv) - 1 :]))
    year = journey.ready(shopping_of.of_year(groceries.load(), FIRST_RANK, LAST_RANK))
    sys.stdout.write(json.dumps(compare(year, households, range(seeds)), indent=2) + "\n")


if __name__ == "__main__":
    main()
