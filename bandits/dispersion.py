"""How far rewards scatter about what the model expects: the noise variance of the identity link, Pearson's chi-square by weight of the logit."""

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
    squares, weights = 0.0, 0.0
    for rows in blocks():
        closed = rows.maturity >= 1.0
        eta = np.einsum("ij,j->i", rows.phi[closed], w) + rows.offset[closed]
        mean = links.mean(link, eta)
        variance = np.maximum(links.slope(link, eta), np.finfo(np.float64).tiny)
        squares += float(rows.weight[closed] @ (np.square(rows.reward[closed] - mean) / variance))
        weights += float(rows.weight[closed].sum())
    found = (PSEUDO_ROWS * prior.dispersion + squares) / (PSEUDO_ROWS + weights)
    if link == "logit":
        return min(max(found, LOWEST), HIGHEST)
    return max(found, LOWEST_NOISE * prior.dispersion)
