"""How far rewards scatter about what the model expects: the noise variance of the identity link, the logit's scatter in units of p(1 - p).

Squares and variances are summed before they are divided. Pearson's mean of their ratios would hang on a single reward of a very unlikely
offer.
"""

from typing import Final

import numpy as np

from bandits import link as links
from bandits.laplace import Blocks
from bandits.prior import Prior
from schema.snapshot import Link

PSEUDO_ROWS: Final = 50.0
"""The prior's dispersion counts as so many rows."""

LOWEST: Final = 0.25
HIGHEST: Final = 4.0
"""Bounds of the logit's: it scales exploration, and a few surprising rewards of unlikely offers must not."""

LOWEST_NOISE: Final = 0.01
"""Bound of the identity's, in units of the prior's: a head that nobody has answered yet is not free of noise."""


def estimate(blocks: Blocks, prior: Prior, link: Link, w: links.F64) -> float:
    """The dispersion over rows whose answers are all in (maturity 1), at the weights w (d,), shrunk to the prior's."""
    squares, variances, weights = 0.0, 0.0, 0.0
    for rows in blocks():
        weight = np.where(rows.maturity >= 1.0, rows.weight, 0.0)
        eta = np.einsum("ij,j->i", rows.phi, w) + rows.offset
        squares += float(weight @ np.square(rows.reward - links.mean(link, eta)))
        variances += float(weight @ links.slope(link, eta))
        weights += float(weight.sum())
    ratio = squares / variances if variances > 0.0 else prior.dispersion
    found = (PSEUDO_ROWS * prior.dispersion + weights * ratio) / (PSEUDO_ROWS + weights)
    if link == "logit":
        return min(max(found, LOWEST), HIGHEST)
    return max(found, LOWEST_NOISE * prior.dispersion)
