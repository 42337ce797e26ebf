"""The learners a replay begins with."""

from typing import Final

from bandits.learners import build
from bandits.learners.learner import Learner
from service.replay import player
from service.replay.player import Pace
from service.replay.rounds import Rounds

_LOOKED_AT: Final = 1_000
"""The rounds whose rows tell how large features are."""


def generic(name: str, given: Rounds, pace: Pace, habit_column: int = 0) -> Learner:
    """A learner that knows nothing of the features; `usual` goes by the habit column."""
    rows = given.phi[:_LOOKED_AT].reshape(-1, given.phi.shape[2])
    return build.generic(name, rows, build.Options(habit_column=habit_column), player.arrivals(pace))
