"""The lower Cholesky factor of a small symmetric matrix."""

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import kernel

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@kernel()
def factor(matrix: F64 | F32, lower: F64) -> bool:
    """Write the lower factor, (p, p) as the matrix is, computed in float64; what is above its diagonal stays.

    Of `matrix` only the lower triangle is read.

    Returns:
        False when the matrix is not positive definite, or not finite; what was written then means nothing.
    """
    for j in range(matrix.shape[0]):
        for i in range(j, matrix.shape[0]):
            left = float(matrix[i, j])
            for k in range(j):
                left -= lower[i, k] * lower[j, k]
            if i > j:
                lower[i, j] = left / lower[j, j]
            elif left > 0.0:
                lower[j, j] = np.sqrt(left)
            else:  # NaN too
                return False
    return True
