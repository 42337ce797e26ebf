"""The layout of a feature vector, with a version, and what is believed of each weight before anything was learned.

A weight acts on the log-odds of an answer. That a person redeems what they would buy anyway is the best guess there is: `lp`, the log-odds
of a purchase by habit, has a weight near 1 from the start. The deviations are wide enough to leave that guess where it is wrong, and cost
next to nothing where it is right (docs/decisions/0004-logistic-default.md).
"""

import math
from typing import Final

import numpy as np

from bandits.kernels import featurize
from bandits.kernels.popularity import LOG_SHARE_CENTRE, SEASON_MAX, SHARE_MIN
from bandits.prior import Prior
from bandits.step import Ranges
from schema.snapshot import HEADS, Link

FEATURE_SET: Final = 2
"""Raised whenever the meaning of a column, or the link, changes: sums of another feature set are never mixed in."""

LINK: Final[Link] = "logit"

NAMES: Final = (
    "bias",
    "lp",
    "soon",
    "later",
    "season",
    "lpop",
    "tired",
    "pestered",
    "interest",
    "discount",
    "in_basket",
    "goes_with",
    "due",
    "near",
    "cos",
    "sin",
    "wet",
)
DIMS: Final = featurize.DIMS


def _log_odds(chance: float) -> float:
    return math.log(chance / (1.0 - chance)) - featurize.LOG_ODDS_CENTRE


_MEAN: Final = {
    "redeem": {
        "bias": -3.5,
        "lp": 1.2,
        "soon": -1.0,
        "later": 0.4,
        "season": 0.5,
        "lpop": 0.1,
        "interest": 0.5,
        "discount": 0.2,
    },
    "open": {"bias": -2.6, "lp": 0.1, "interest": 0.5},
}
"""By head; a column that is not named is believed to be 0."""

_DEVIATION: Final = {
    "bias": 0.7,
    "lp": 0.25,
    "soon": 0.4,
    "later": 0.4,
    "season": 0.4,
    "lpop": 0.1,
    "tired": 0.1,
    "pestered": 0.3,
    "interest": 0.3,
    "discount": 0.3,
    "in_basket": 0.3,
    "goes_with": 0.3,
    "due": 0.3,
    "near": 0.3,
    "cos": 0.2,
    "sin": 0.2,
    "wet": 0.2,
}


_RANGE: Final = {
    "bias": (1.0, 1.0),
    "lp": (_log_odds(featurize.CHANCE_MIN), _log_odds(featurize.CHANCE_MAX)),
    "season": (-SEASON_MAX, SEASON_MAX),
    "lpop": (math.log(SHARE_MIN) - LOG_SHARE_CENTRE, -LOG_SHARE_CENTRE),
    "cos": (-1.0, 1.0),
    "sin": (-1.0, 1.0),
}
"""By column; a column that is not named lies between 0 and 1."""


def _prior(head: str) -> Prior:
    mean = np.array([_MEAN[head].get(name, 0.0) for name in NAMES])
    deviation = np.array([_DEVIATION[name] for name in NAMES])
    return Prior(mean, deviation**-2)


PRIORS: Final = tuple(_prior(head) for head in HEADS)
"""One for each head, in the order of schema.snapshot.HEADS."""

RANGES: Final = Ranges(
    *(np.array([_RANGE.get(name, (0.0, 1.0))[end] for name in NAMES]) for end in (0, 1)),
)
"""What each column lies between, whatever comes."""
