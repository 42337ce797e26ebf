"""The sums of one person's own part of the model, and the Gaussian they compose to.

Sums are one array of `SIZE` numbers: the packed upper triangle of A (see symmetric), then b.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import boolean, f32_in, f64, f64_in, f64_in_2d, f64_out, f64_out_2d, kernel, void

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

SLOPES: Final = 3
AXES: Final = 5
DIMS: Final = SLOPES + AXES
OUTER: Final = DIMS * (DIMS + 1) // 2
SIZE: Final = OUTER + DIMS


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
def _factor(sums: F64, scale: float, precision: F64, factor: F64) -> bool:
    """Lower Cholesky factor of diag(precision) + scale * A; False when that is not positive definite."""
    for j in range(DIMS):
        for i in range(j, DIMS):
            total = scale * sums[j * DIMS - j * (j - 1) // 2 + i - j]
            if i == j:
                total += precision[i]
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            if i > j:
                factor[i, j] = total / factor[j, j]
            elif total > 0.0:
                factor[j, j] = np.sqrt(total)
            else:  # NaN too
                return False
    return True


@kernel(boolean(f64_in, f64, f64_in, f64_out, f64_out_2d))
def posterior(sums: F64, scale: float, precision: F64, mean: F64, covariance: F64) -> bool:
    """Write S = (diag(precision) + scale A)^-1 and S (scale b).

    Args:
        sums: (SIZE,).
        scale: what the sums are worth now, 1 / weight of this instant.
        precision: (DIMS,) of the prior N(0, diag(1 / precision)).
        mean: (DIMS,) out.
        covariance: (DIMS, DIMS) out.

    Returns:
        False when the sums are damaged, such that no posterior exists; what was written then means nothing.
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
    for i in range(DIMS):
        mean[i] = 0.0
        for j in range(DIMS):
            total = 0.0
            for k in range(max(i, j), DIMS):
                total += inverse[k, i] * inverse[k, j]
            covariance[i, j] = total
            mean[i] += total * scale * sums[OUTER + j]
    return True


@kernel(f64(f64_in_2d, f64, f64_in))
def log_evidence(sums: F64, scale: float, precision: F64) -> float:
    """Log marginal likelihood of the people's sums under the prior, up to a constant that does not depend on the prior.

    Of one person: -1/2 ln det(I + V A) + 1/2 b' (A + V^-1)^-1 b, with V = diag(1 / precision); scale as in `posterior`.

    Args:
        sums: (people, SIZE).
        scale: multiplies A and b.
        precision: (DIMS,).
    """
    factor, half = np.zeros((DIMS, DIMS)), np.zeros(DIMS)
    prior = 0.0
    for i in range(DIMS):
        prior += 0.5 * np.log(precision[i])
    total = 0.0
    for person in range(sums.shape[0]):
        if not _factor(sums[person], scale, precision, factor):
            continue
        total += prior
        for i in range(DIMS):
            left = scale * sums[person, OUTER + i]
            for k in range(i):
                left -= factor[i, k] * half[k]
            half[i] = left / factor[i, i]
            total += 0.5 * half[i] * half[i] - np.log(factor[i, i])
    return total
