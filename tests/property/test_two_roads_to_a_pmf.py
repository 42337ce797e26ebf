"""The product's draw (heads, values, whitened rows) and the learners (one packed head) make the same pmf of the same posterior."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandits import features
from bandits.kernels.packed import pack_posterior, packed_size
from bandits.learners.exploration import Belief, Thompson
from bandits.policies import draw
from bandits.policies.draw import Offers, Terms
from schema.snapshot import HEADS, Link
from tests import deciding

REDEEM = HEADS.index("redeem")
SCALE, FLOOR = 0.2, 0.002
TERMS = Terms("thompson", 1, FLOOR, SCALE, (0.0, 1.0), 0, False, 0.01, 0.0, False)


@pytest.mark.parametrize("link", ["logit", "identity"])
@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.floats(0.02, 1.0), st.integers(0, 2**32))
def test_both_agree(link: Link, offers: int, sureness: float, seed: int) -> None:
    """Total variation at most .002: with the logit a chance bends where its predictor is straight, and only there do they differ."""
    rng = np.random.default_rng(seed)
    dims = features.DIMS
    prior = features.PRIORS[REDEEM]
    root = rng.normal(size=(dims, dims)) * sureness / np.sqrt(prior.precision)[:, None] / np.sqrt(dims)
    mean, covariance = prior.mean + rng.normal(0.0, 0.1, dims), root @ root.T + 1e-4 * np.eye(dims)
    phi = rng.normal(0.0, 0.5, (offers, dims)).astype(np.float32)
    phi[:, 0] = 1.0
    mask = rng.random(offers) < 0.8
    mask[0] = True
    model = deciding.model()
    means, factors = model.means.copy(), model.factors.copy()
    means[REDEEM], factors[REDEEM] = mean, np.linalg.cholesky(covariance)
    tags = np.arange(offers, dtype=np.int16)[:, None].copy()
    product = draw.draw(model._replace(means=means, factors=factors, link=link), Offers(phi, mask, tags), TERMS, seed)
    packed = np.empty(packed_size(dims), np.float32)
    pack_posterior(mean, covariance, np.empty(packed_size(dims)), packed)
    learners = Thompson(SCALE, FLOOR).pmf(Belief(packed, 1.0), phi, mask)
    assert 0.5 * np.abs(product.pmf - learners).sum() <= (2e-3 if link == "logit" else 3e-4)
