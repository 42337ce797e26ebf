"""The layout of a feature vector, with a version, and what is believed of each weight before anything was learned."""

from typing import Final

import numpy as np

from bandits.kernels import featurize
from bandits.posterior import Prior
from schema.snapshot import HEADS

FEATURE_SET: Final = 1
"""Raised whenever the meaning of a column changes: sums of another feature set are never mixed in."""

NAMES: Final = (
    "bias",
    "share",
    "share_soon",
    "share_later",
    "share_tired",
    "popular",
    "interest",
    "tired",
    "discount",
    "share_discount",
    "in_basket",
    "share_near",
    "share_cos",
    "share_sin",
    "popular_new",
    "share_wet",
)
DIMS: Final = featurize.DIMS
NOISE_VARIANCE: Final = 0.1

# A person's own share of baskets with a tag is, by itself, a calibrated guess of what will be bought: that is the prior of redeeming.
# The deviations are small where research on the grocery year found little to learn, so that Thompson does not explore for nothing.
_MEAN: Final = {
    "redeem": {"share": 1.0, "interest": 0.05, "discount": 0.01},
    "open": {"bias": 0.05, "share": 0.2, "interest": 0.05, "tired": -0.01},
}
_DEVIATION: Final = {
    "bias": 0.005,
    "share": 0.15,
    "share_soon": 0.1,
    "share_later": 0.1,
    "share_tired": 0.1,
    "popular": 0.1,
    "interest": 0.05,
    "tired": 0.01,
    "discount": 0.03,
    "share_discount": 0.2,
    "in_basket": 0.05,
    "share_near": 0.1,
    "share_cos": 0.05,
    "share_sin": 0.05,
    "popular_new": 0.1,
    "share_wet": 0.05,
}


def _prior(head: str) -> Prior:
    mean = np.array([_MEAN[head].get(name, 0.0) for name in NAMES])
    deviation = np.array([_DEVIATION[name] for name in NAMES])
    return Prior(mean, deviation**-2, NOISE_VARIANCE)


PRIORS: Final = tuple(_prior(head) for head in HEADS)
"""One for each head, in the order of schema.snapshot.HEADS."""
