"""One arm from a pmf and one uniform number."""

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import f64, f64_in, i64, kernel


@kernel(i64(f64_in, f64))
def draw(p: NDArray[np.float64], u: float) -> int:
    """The arm whose stretch of the cumulated pmf holds u; never one with probability 0.

    Args:
        p: (arms,) probabilities that sum to 1 up to rounding.
        u: uniform in (0, 1).

    Returns:
        An index into p; the last possible arm if rounding left the sum below u; -1 if no arm is possible.
    """
    below = 0.0
    last = -1
    for k in range(p.shape[0]):
        if p[k] > 0.0:
            below += p[k]
            last = k
            if u < below:
                break
    return last
