"""How far the mean of a posterior goes from the epoch's mode between two refits: never so far that it could be worse there.

The sums know gradient and curvature of the objective at the mode, not how the curvature changes on the way. But that of the logistic
function changes by a factor of at most e^|x| while eta changes by x (Bach 2010, Self-concordant analysis for logistic regression). So if a
Newton step u with decrement l^2 = u'Hu changes no row's eta by more than R, going a share t of it changes the objective by at most

    l^2 (-t + (e^(tR) - tR - 1) / R^2),

which is least, and below 0, at t = ln(1 + R) / R, and still below 0 at t = 1 while R < 1.79. A whole step, as good a guess as any when the
curvature may grow or shrink, is taken up to R = 1.5; beyond, the share that changes no eta by more than 1.5, or than ln(1 + R) if that is more.
"""

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

WHOLE_UP_TO: Final = 1.5
"""A step that changes no eta by more than this is taken whole; one that would is a reason to refit (bandits.epoch)."""


class Ranges(NamedTuple):
    """The least and the greatest value each feature can have, (d,) each."""

    lowest: F64
    highest: F64


def reach(step: F64, ranges: Ranges) -> float:
    """The most by which a step of the weights (d,) can change the eta of any possible row."""
    ends = np.stack([step * ranges.lowest, step * ranges.highest])
    return float(max(ends.max(axis=0).sum(), -ends.min(axis=0).sum()))


def share_taken(reach: float) -> float:
    """The share of a Newton step of this reach that is taken, for the logit."""
    if reach <= WHOLE_UP_TO:
        return 1.0
    return max(WHOLE_UP_TO, math.log1p(reach)) / reach
