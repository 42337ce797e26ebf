"""What every library is asked: choose one of a round's arms, and learn what the chosen one earned.

All get the same rows, phi (arms, d), made for each person and offer: the model is shared by all offers.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]


class Peer(Protocol):
    """One library at one setting."""

    def decide(self, phi: F32) -> int:
        """The arm chosen, an index into phi (arms, d)."""
        ...

    def learn(self, row: F32, reward: float) -> None:
        """What the arm chosen last, of features row (d,), earned: 0 or 1."""
        ...


Maker = Callable[[int, int, int], Peer]
"""Of seed, arms and features."""
