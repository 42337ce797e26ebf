"""The sums of one person's own part of the model, and the Gaussian they compose to.

Sums are one array of `SIZE` numbers: the packed upper triangle of A (see symmetric), then b.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.cholesky import factor as cholesky
from bandits.kernels.compile import (
    bool_in,
    boolean,
    f32_in,
    f32_in_2d,
    f32_out,
    f32_out_2d,
    f64,
    f64_in,
    f64_in_2d,
    f64_out,
    i64,
    kernel,
    void,
)

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

SLOPES: Final = 3
AXES: Final = 5
DIMS: Final = SLOPES + AXES
OUTER: Final = DIMS * (DIMS + 1) // 2
SIZE: Final = OUTER + DIMS

HALF: Final = np.float32(0.5)
"""Log-odds spread twice as wide as the other slopes; so scaled one variance fits all of them."""


@kernel(void(f64_out, f32_in, f64, f64))
def add_row(sums: F64, z: F32, curvature: float, response: float) -> None:
    """Add curvature * z z' to A and response * z to b in place. sums: (SIZE,); z: (DIMS,)."""
    c = 0
    for i in range(DIMS):
        for j in range(i, DIMS):
            sums[c] += curvature * z[i] * z[j]
            c += 1
    for i in range(DIMS):
        sums[OUTER + i] += response * z[i]


@kernel()
def _factor(sums: F64 | F32, scale: float, precision: F64, lower: F64) -> bool:
    """Lower Cholesky factor of diag(precision) + scale * A; False when that is not positive definite."""
    matrix = np.empty((DIMS, DIMS))
    c = 0
    for j in range(DIMS):
        for i in range(j, DIMS):
            matrix[i, j] = scale * sums[c]
            c += 1
        matrix[j, j] += precision[j]
    return cholesky(matrix, lower)


@kernel(boolean(f32_in, f64, f64_in, f32_out, f32_out_2d))
def posterior(sums: F32, scale: float, precision: F64, mean: F32, covariance: F32) -> bool:
    """Write S = (diag(precision) + scale A)^-1 and S (scale b), computed in float64.

    Args:
        sums: (SIZE,) as they are kept.
        scale: what the sums are worth now.
        precision: (DIMS,) of the prior N(0, diag(1 / precision)).
        mean: (DIMS,) out.
        covariance: (DIMS, DIMS) out.

    Returns:
        False when the sums are damaged, such that no finite posterior exists; what was written then means nothing.
    """
    factor, inverse = np.zeros((DIMS, DIMS)), np.zeros((DIMS, DIMS))
    if not _factor(sums, scale, precision, factor):
        return False
    for j in range(DIMS):
        inverse[j, j] = 1.0 / factor[j, j]
        for i in range(j + 1, DIMS):
            total = 0.0
            for k in range(j, i):
                total -= factor[i, k] * inverse[k, j]
            inverse[i, j] = total / factor[i, i]
    is_finite = True
    for i in range(DIMS):
        centre = 0.0
        for j in range(DIMS):
            total = 0.0
            for k in range(max(i, j), DIMS):
                total += inverse[k, i] * inverse[k, j]
            covariance[i, j] = total
            centre += total * scale * sums[OUTER + j]
        mean[i] = centre
        is_finite &= bool(np.isfinite(mean[i]))
    return is_finite


@kernel(void(f32_in_2d, f32_in_2d, bool_in, i64, i64, i64, f32_out_2d))
def columns(phi: F32, axes: F32, may_be_personal: NDArray[np.bool_], lp: int, soon: int, later: int, out: F32) -> None:
    """Write z of every offer: half of column lp, soon, later of phi, then its axes; 0 where nothing may be personal.

    Args:
        phi: (offers, d).
        axes: (offers, AXES).
        may_be_personal: (offers,).
        lp: column of phi.
        soon: column of phi.
        later: column of phi.
        out: (offers, DIMS).
    """
    for k in range(out.shape[0]):
        for j in range(DIMS):
            out[k, j] = np.float32(0.0)
        if may_be_personal[k]:
            out[k, 0] = HALF * phi[k, lp]
            out[k, 1] = phi[k, soon]
            out[k, 2] = phi[k, later]
            for j in range(AXES):
                out[k, SLOPES + j] = axes[k, j]


@kernel(f64(f64_in_2d, f64_in))
def log_evidence(sums: F64, precision: F64) -> float:
    """Log marginal likelihood of the people's sums under the prior, up to a constant that does not depend on the prior.

    Of one person: -1/2 ln det(I + V A) + 1/2 b' (A + V^-1)^-1 b, with V = diag(1 / precision).

    Args:
        sums: (people, SIZE) as they weigh now.
        precision: (DIMS,).
    """
    factor, half = np.zeros((DIMS, DIMS)), np.zeros(DIMS)
    prior = 0.0
    for i in range(DIMS):
        prior += 0.5 * np.log(precision[i])
    total = 0.0
    for person in range(sums.shape[0]):
        if not _factor(sums[person], 1.0, precision, factor):
            continue
        total += prior
        for i in range(DIMS):
            left = sums[person, OUTER + i]
            for k in range(i):
                left -= factor[i, k] * half[k]
            half[i] = left / factor[i, i]
            total += 0.5 * half[i] * half[i] - np.log(factor[i, i])
    return total
