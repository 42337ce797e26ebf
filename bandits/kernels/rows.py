"""Rows of the shared model, streamed: what they add to the sums at a mode, and one Newton pass over them.

Row i has features phi_i, a logged offset o_i, a weight d_i (negative to take the row back), and eta_i = phi_i . w + o_i; g is the link's
mean function, the logistic one or the identity.
"""

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import (
    boolean,
    f32_in,
    f32_in_2d,
    f64,
    f64_in,
    f64_out,
    f64_out_2d,
    i64_in,
    kernel,
    void,
)
from bandits.kernels.logistic import mean_and_slope, softplus
from bandits.kernels.symmetric import add_outer

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@kernel(lanes=True)
def _along(x: F32, w: F64) -> float:
    total = 0.0
    for j in range(x.shape[0]):
        total += x[j] * w[j]
    return total


@kernel()
def _add_scaled(total: F64, x: F32, weight: float) -> None:
    for j in range(x.shape[0]):
        total[j] += weight * x[j]


@kernel(void(boolean, f32_in_2d, f32_in, f64_in, f64_in, i64_in, f64_out_2d, f64_out_2d))
def linearise_rows(
    is_logit: bool, phi: F32, offset: F32, weight: F64, mode: F64, group: I64, outer: F64, expected: F64
) -> None:
    """Add each row's curvature and expectation, linearised at the mode, to the sums of its group.

    Args:
        is_logit: the link; else the identity.
        phi: (n, d) features.
        offset: (n,) logged offsets.
        weight: (n,).
        mode: (d,) the weights linearised at.
        group: (n,) place of each row's sums.
        outer: (groups, d (d + 1) / 2) in and out: sum of d g'(eta) phi phi', packed.
        expected: (groups, d) in and out: sum of d (g(eta) - g'(eta) phi.mode) phi.
    """
    for i in range(phi.shape[0]):
        if weight[i] == 0.0:
            continue
        along = _along(phi[i], mode)
        mean, slope = mean_and_slope(is_logit, along + offset[i])
        add_outer(outer[group[i]], phi[i], weight[i] * slope)
        _add_scaled(expected[group[i]], phi[i], weight[i] * (mean - slope * along))


@kernel(f64(boolean, f32_in_2d, f32_in, f64_in, f64_in, f64_in, f64_in, f64_out, f64_out))
def newton_rows(
    is_logit: bool, phi: F32, offset: F32, weight: F64, maturity: F64, reward: F64, w: F64, gradient: F64, hessian: F64
) -> float:
    """Add the rows' gradient and packed Hessian at w, and give their objective, sum of d (F G(eta) - y eta) with G' = g.

    Args:
        is_logit: the link; else the identity.
        phi: (n, d) features.
        offset: (n,) logged offsets.
        weight: (n,) d_i.
        maturity: (n,) F_i, the share of the rewards that could have come.
        reward: (n,) y_i.
        w: (d,).
        gradient: (d,) in and out: sum of d (F g(eta) - y) phi.
        hessian: (d (d + 1) / 2,) in and out: sum of d F g'(eta) phi phi', packed.
    """
    objective = 0.0
    for i in range(phi.shape[0]):
        eta = _along(phi[i], w) + offset[i]
        mean, slope = mean_and_slope(is_logit, eta)
        integral = softplus(eta) if is_logit else 0.5 * eta * eta
        objective += weight[i] * (maturity[i] * integral - reward[i] * eta)
        _add_scaled(gradient, phi[i], weight[i] * (maturity[i] * mean - reward[i]))
        add_outer(hessian, phi[i], weight[i] * maturity[i] * slope)
    return objective
