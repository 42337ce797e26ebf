"""The layout of a feature vector, with a version, and what is believed of each weight before anything was learned."""

from typing import Final

import numpy as np

from bandits.kernels import featurize
from bandits.prior import Prior
from schema.snapshot import HEADS, Link

FEATURE_SET: Final = 1
"""Raised whenever the meaning of a column changes: sums of another feature set are never mixed in."""

LINK: Final[Link] = "identity"

NAMES: Final = (
    "bias",
    "chance",
    "chance_soon",
    "chance_later",
    "chance_tired",
    "chance_pestered",
    "popular",
    "popular_new",
    "interest",
    "discount",
    "chance_discount",
    "in_basket",
    "chance_near",
    "chance_cos",
    "chance_sin",
    "chance_wet",
)
DIMS: Final = featurize.DIMS
NOISE_VARIANCE: Final = 0.1

# The chance that a person buys a thing within the attribution window, by their own habits, is by itself a good guess of what will be
# redeemed: that is the prior. Research on the grocery year found little more to learn from the order of offers, hence the small
# deviations, with which Thompson does not explore for nothing (docs/decisions/0002-prior-from-habits.md).
_MEAN: Final = {
    "redeem": {
        "bias": -0.03,
        "chance": 1.3,
        "chance_soon": -0.5,
        "chance_later": 0.2,
        "popular": 0.1,
        "interest": 0.05,
        "discount": 0.01,
    },
    "open": {"bias": 0.05, "chance": 0.2, "interest": 0.05},
}
_DEVIATION: Final = {
    "bias": 0.005,
    "chance": 0.15,
    "chance_soon": 0.1,
    "chance_later": 0.1,
    "chance_tired": 0.01,
    "chance_pestered": 0.05,
    "popular": 0.1,
    "popular_new": 0.1,
    "interest": 0.05,
    "discount": 0.03,
    "chance_discount": 0.2,
    "in_basket": 0.05,
    "chance_near": 0.1,
    "chance_cos": 0.05,
    "chance_sin": 0.05,
    "chance_wet": 0.05,
}


def _prior(head: str) -> Prior:
    mean = np.array([_MEAN[head].get(name, 0.0) for name in NAMES])
    deviation = np.array([_DEVIATION[name] for name in NAMES])
    return Prior(mean, deviation**-2, NOISE_VARIANCE)


PRIORS: Final = tuple(_prior(head) for head in HEADS)
"""One for each head, in the order of schema.snapshot.HEADS."""
