"""*supervised*: the deals of a logistic model that was told every outcome of other households.

Trained on the engine's own features (`habits`), at the moments of *usual_six_hours*, with the outcomes of the ten likeliest deals of each household
and week: the engine learns from the one deal it sent. All hundred outcomes make a model that cares for the many hopeless deals and chooses
worse (docs/decisions/0004). It is asked at the engine's own moments, so that what is compared is the choice of the deal; where the engine sent
nothing it sends at the moment of *usual_six_hours*.
"""

from typing import Final

import numpy as np

from bandits import laplace
from bandits.laplace import Design
from bandits.prior import Prior
from service.demo import habits, references
from service.demo.groceries import Baskets
from service.demo.habits import F32, F64, Contenders, Crowd
from service.demo.scoring import Pushes
from service.demo.world import World

OTHERS_MIN: Final = 400
"""With fewer households outside the demo a household's model is fitted to the demo's other folds instead."""
FOLDS: Final = 5

_RIDGE: Final = 1.0


class Supervised:
    """What is known of the other households of the year; it chooses when the engine's moments are known."""

    def __init__(self, world: World, year: Baskets) -> None:
        self._world = world
        self._usual_s = references.usual_six_hours(world).at_s
        begins_s = world.instants_s[:-1, 0]
        self._crowd = habits.crowd(year, world.deals, begins_s)
        others = year.of_households(np.flatnonzero(~np.isin(year.household_ids, world.baskets.household_ids)))
        has_others = len(others.household_ids) >= OTHERS_MIN
        self._weights = _of_others(World(others, world.deals, world.weeks), self._crowd) if has_others else None

    def pushes(self, engine: Pushes) -> Pushes:
        """The deal of every household and week at the engine's moment, or at that of *usual_six_hours* where the engine sent nothing."""
        moments_s = np.where(engine.sent(), engine.at_s, self._usual_s)
        found = habits.contenders(self._world, moments_s, self._crowd)
        scores = out_of_fold(found) if self._weights is None else _scores(found.phi, self._weights)
        best = scores.argmax(axis=2)
        return Pushes(moments_s, np.take_along_axis(found.deals, best[:, :, None], axis=2)[:, :, 0])


def _of_others(world: World, crowd: Crowd) -> F64:
    found = habits.contenders(world, references.usual_six_hours(world).at_s, crowd)
    return fit(found)


def out_of_fold(found: Contenders) -> F64:
    """(H, W, K) scores of each household by a model of the other folds."""
    fold = np.arange(len(found.phi)) % FOLDS
    scores = np.empty(found.deals.shape)
    for one in range(FOLDS):
        others = Contenders(*(part[fold != one] for part in found))
        scores[fold == one] = _scores(found.phi[fold == one], fit(others))
    return scores


def fit(found: Contenders) -> F64:
    """Weights (d,) of the features, by logistic regression with a ridge of 1; 0 for a feature that never differs from 0."""
    rows: F32 = found.phi.reshape(-1, found.phi.shape[-1])
    differs = np.asarray(rows.any(axis=0), np.bool_)
    rows = np.ascontiguousarray(rows[:, differs])
    ones = np.ones(len(rows))
    design = Design(rows, np.zeros(len(rows), np.float32), ones, ones, found.is_redeemed.ravel().astype(np.float64))
    start = np.zeros(rows.shape[1])
    weights = np.zeros(len(differs))
    prior = Prior(start, np.full(len(start), _RIDGE))
    weights[differs] = laplace.fit(lambda: [design], prior, "logit", start).mode.w
    return weights


def _scores(phi: F32, weights: F64) -> F64:
    found: F64 = phi @ weights
    return found
