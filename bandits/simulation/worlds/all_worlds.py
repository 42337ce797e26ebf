"""The worlds by name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from bandits.simulation.claims import WORST, Claim, Played
from bandits.simulation.world import World
from bandits.simulation.worlds import (
    delay,
    diet_switch,
    life_stage,
    mixed_town,
    newcomer,
    night_shift,
    no_value,
    persuadables,
    unlike_any_segment,
)


class Named(NamedTuple):
    """How a world is made, from a seed and a scale (1 is its full size), and what it claims once it was played.

    `figures` tells more of it, without a claim; `terms` are what its claims hold under; `not_asked` says why something that
    is asked in other worlds is not claimed there, by the name of the claim.
    """

    build: Callable[[int, float], World]
    judge: Callable[[Played], dict[str, Claim]]
    terms: tuple[str, ...] = ()
    not_asked: Mapping[str, str] = MappingProxyType({})
    figures: Callable[[Played], dict[str, list[float]]] = lambda _: {}


WORLDS: Final = {
    "diet_switch": Named(diet_switch.build, diet_switch.judge),
    "night_shift": Named(night_shift.build, night_shift.judge),
    "life_stage": Named(life_stage.build, life_stage.judge),
    "newcomer": Named(newcomer.build, newcomer.judge),
    "unlike_any_segment": Named(unlike_any_segment.build, unlike_any_segment.judge),
    "no_value": Named(no_value.build, no_value.judge, no_value.TERMS),
    "persuadables": Named(
        persuadables.build, persuadables.judge, persuadables.TERMS, {WORST: persuadables.WORST_NOT_ASKED}
    ),
    "delay": Named(delay.build, delay.judge, figures=delay.figures),
    "mixed_town": Named(
        mixed_town.build, mixed_town.judge, not_asked={mixed_town.NO_VALUE: mixed_town.NO_VALUE_NOT_ASKED}
    ),
}
