"""What is believed of the weights of one head before any exposure."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


class Prior(NamedTuple):
    """Independent weights: mean (d,) and precision (d,); dispersion is the noise variance of the identity link, 1 of the logit."""

    mean: F64
    precision: F64
    dispersion: float = 1.0
