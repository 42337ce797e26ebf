"""The learners a replay begins with."""

from typing import Final

from bandits import features
from bandits.learners import build
from bandits.learners.learner import Learner
from schema import policy
from schema.snapshot import HEADS
from service.replay import player
from service.replay.player import Pace
from service.replay.rounds import Rounds

_REDEEM: Final = HEADS.index("redeem")
_LOOKED_AT: Final = 1_000
"""The rounds whose rows tell how large features are."""


def generic(name: str, given: Rounds, pace: Pace, habit_column: int = 0) -> Learner:
    """A learner that knows nothing of the features; `usual` goes by the habit column."""
    rows = given.phi[:_LOOKED_AT].reshape(-1, given.phi.shape[2])
    return build.generic(name, rows, build.Options(habit_column=habit_column), player.arrivals(pace))


def of_product(name: str, given: Rounds, pace: Pace, habit_column: int) -> Learner:
    """A learner that begins as the product does, with its prior in logits; a linear one knows nothing of the features."""
    if name.startswith("linear"):
        return generic(name, given, pace, habit_column)
    floor = policy.PolicySettings(name=policy.BUILT_IN).floor
    options = build.Options(floor=floor, habit_column=habit_column)
    return build.learner(name, features.PRIORS[_REDEEM], options, player.arrivals(pace))
