"""All of them in one town: nobody's peculiarity is told to the engine, and it must do right by each."""

from typing import Final

import numpy as np

from bandits.simulation import town
from bandits.simulation.claims import Claim, Played
from bandits.simulation.people import together
from bandits.simulation.week import BEGIN_S, WEEK_S
from bandits.simulation.world import Goal, World
from bandits.simulation.worlds import (
    diet_switch,
    life_stage,
    newcomer,
    night_shift,
    no_value,
    persuadables,
    unlike_any_segment,
)

EACH: Final = 16
ORDINARY: Final = 200
WEEKS: Final = 38

NO_VALUE: Final = "nothing_of_value_sent_at_most"
NO_VALUE_NOT_ASKED: Final = "persuadables live here, who buy what they are told of: before somebody of no habits has been told, nobody can know which of the two they are"


def build(seed: int, scale: float) -> World:
    """Two hundred ordinary people and sixteen of every other kind; a push a week, worth sending from one redemption in twenty on."""
    draw = np.random.default_rng([seed, 900])
    popular = town.popularity(draw)
    count = round(EACH * scale)
    grows_s = BEGIN_S + draw.uniform(14.0, 18.0, count) * WEEK_S
    joins_s = BEGIN_S + draw.uniform(12.0, 24.0, count) * WEEK_S
    people = together(
        [
            town.ordinary(draw, round(ORDINARY * scale), popular),
            diet_switch.switchers(draw, count, popular),
            diet_switch.drifters(draw, count, popular, WEEKS),
            night_shift.workers(draw, count, popular),
            life_stage.parents(draw, count, popular, grows_s),
            newcomer.newcomers(draw, count, popular, joins_s),
            unlike_any_segment.odd_ones(draw, count, popular),
            no_value.buyers_of_other_things(draw, count, popular),
            no_value.absent(draw, count),
            persuadables.persuadables(draw, count),
            persuadables.sure_things(draw, count),
            persuadables.lost_causes(draw, count),
            persuadables.do_not_disturbs(draw, count),
        ]
    )
    begins_s, ends_s = BEGIN_S + 8 * WEEK_S, BEGIN_S + WEEKS * WEEK_S
    goal = Goal(attention_price=no_value.ATTENTION_PRICE)
    return World("mixed_town", seed, people, town.offers(), begins_s, ends_s, is_push=True, goal=goal)


def judge(played: Played) -> dict[str, Claim]:
    """The claims that can be asked of everybody at once."""
    sent = max(no_value.most_sent(played.engine, kind, no_value.LEFT_IN_PEACE_AFTER_S) for kind in no_value.KINDS)
    awake = night_shift.awake_share(played.engine, night_shift.KIND)
    return {
        "night_worker_sends_in_waking_hours": Claim(awake, 0.8),
        NO_VALUE: Claim(sent, no_value.FLOOR, is_at_most=True),
    }
