"""The logistic function and its integral, exact in float64 at either end. Scalar maths for other kernels to inline."""

import math

from bandits.kernels.compile import f64, kernel


@kernel(f64(f64))
def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), without overflow."""
    if x >= 0.0:
        return 1.0 / (1.0 + math.exp(-x))
    e = math.exp(x)
    return e / (1.0 + e)


@kernel(f64(f64))
def softplus(x: float) -> float:
    """log(1 + exp(x)), whose derivative is the logistic function; without overflow."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@kernel()
def mean_and_slope(is_logit: bool, eta: float) -> tuple[float, float]:
    """The link's mean function at eta, the logistic one or the identity, and its derivative."""
    if is_logit:
        p = sigmoid(eta)
        return p, p * (1.0 - p)
    return eta, 1.0
