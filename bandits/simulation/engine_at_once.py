"""What the engine would have predicted had every answer been known at once: delay alone is what the two differ by."""

import numpy as np

from bandits import link, personal
from bandits.population import Population
from bandits.simulation.engine_learner import REDEEM, EngineLearner
from bandits.simulation.engine_log import EngineLog
from bandits.simulation.week import DAY_S, F64
from bandits.simulation.world import World
from bandits.sums import Rows


def predicted(log: EngineLog, world: World) -> F64:
    """(shown,) probability of a redemption of each offer that was shown, in order of time, as of the snapshot of its day.

    To be asked when the world was lived through: of the very exposures of the engine, with their features and personal parts, a learner of its own
    is told at once, at whatever hour of the three days it came, what came of them, and counts all of them whole. It decides nothing.
    """
    rows = log.rows()
    learner = EngineLearner(is_whole=True)
    chances = np.empty(len(rows.exposed_at_s))
    for day_s in np.arange(world.decides_from_s, world.ends_s, DAY_S).tolist():
        begin, end = np.searchsorted(rows.exposed_at_s, (day_s, day_s + DAY_S))
        model = learner.snapshot(_first(rows, int(begin)), Population(), personal.VARIANCES, day_s)
        eta = rows.phi[begin:end] @ model.means[REDEEM] + rows.offset[begin:end]
        chances[begin:end] = link.mean(model.link, eta.astype(np.float64))
    return chances


def _first(rows: Rows, count: int) -> Rows:
    return Rows._make(column[:count] for column in rows)
