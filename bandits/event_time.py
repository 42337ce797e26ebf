"""How much a row of the log weighs: its event-time decay, counted from a fixed epoch so that sums over any part of the log add up."""

from typing import Final

import numpy as np
import numpy.typing as npt

HALF_LIFE_S: Final = 180 * 86400.0

EPOCH_S: Final = 1_577_836_800.0  # 2020-01-01


def decay_weight(at_s: float) -> float:
    """Weight of a row of that instant, relative to the fixed epoch."""
    return float(2.0 ** ((at_s - EPOCH_S) / HALF_LIFE_S))


def decay_weights(at_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`decay_weight` of each instant, (n,)."""
    return np.exp2((at_s - EPOCH_S) / HALF_LIFE_S)
