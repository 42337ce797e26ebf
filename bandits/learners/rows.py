"""The rows a learner has seen, in memory: features, when shown, what they earned, and whether more may come."""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.learners.learner import F32, F64, NotARoundError

CAPACITY_AT_FIRST: Final = 256


class Arrivals(NamedTuple):
    """The share of rewards that have come by an age: `shares` at `ages`, both rising, linear between, 0 before and the last after.

    Ages are in the unit of at_s and now_s. A delay of exactly n rounds is Arrivals((n, n), (0, 1)).
    """

    ages: tuple[float, ...]
    shares: tuple[float, ...]

    def at(self, ages: F64) -> F64:
        """(n,) shares at the ages (n,)."""
        shares = np.interp(ages, self.ages, self.shares)
        shares[ages < self.ages[0]] = 0.0
        return shares


Arrays = dict[str, npt.NDArray[Any]]

AT_ONCE: Final = Arrivals((0.0,), (1.0,))


class Rows:
    """Grows by doubling. The views phi (n, d) f32, reward (n,), at_s (n,), is_closed (n,) share the memory."""

    __slots__ = ("_at_s", "_is_closed", "_phi", "_reward", "count")

    def __init__(self, dims: int) -> None:
        self.count = 0
        self._phi: F32 = np.empty((CAPACITY_AT_FIRST, dims), np.float32)
        self._reward: F64 = np.empty(CAPACITY_AT_FIRST)
        self._at_s: F64 = np.empty(CAPACITY_AT_FIRST)
        self._is_closed: npt.NDArray[np.bool_] = np.empty(CAPACITY_AT_FIRST, np.bool_)

    @property
    def phi(self) -> F32:
        return self._phi[: self.count]

    @property
    def reward(self) -> F64:
        return self._reward[: self.count]

    @property
    def at_s(self) -> F64:
        return self._at_s[: self.count]

    @property
    def is_closed(self) -> npt.NDArray[np.bool_]:
        return self._is_closed[: self.count]

    def append(self, phi_row: F32, reward: float, at_s: float, *, is_closed: bool) -> int:
        """The number of the new row."""
        if self.count == len(self._phi):
            grown = max(self.count, CAPACITY_AT_FIRST)
            self._phi = np.concatenate([self._phi, np.empty((grown, self._phi.shape[1]), np.float32)])
            self._reward = np.concatenate([self._reward, np.empty(grown)])
            self._at_s = np.concatenate([self._at_s, np.empty(grown)])
            self._is_closed = np.concatenate([self._is_closed, np.empty(grown, np.bool_)])
        row = self.count
        self.count += 1
        self._phi[row], self._reward[row], self._at_s[row], self._is_closed[row] = phi_row, reward, at_s, is_closed
        return row

    def state(self) -> Arrays:
        return {"phi": self.phi, "reward": self.reward, "at_s": self.at_s, "is_closed": self.is_closed}

    def resume(self, state: Arrays) -> None:
        """Takes up what `state` gave.

        Raises:
            ValueError: the arrays do not fit each other, or a number is not finite.
        """
        phi, reward, at_s = np.asarray(state["phi"], np.float32), np.asarray(state["reward"]), np.asarray(state["at_s"])
        count, dims = phi.shape
        shapes = {reward.shape, at_s.shape, state["is_closed"].shape}
        if shapes != {(count,)} or dims != self._phi.shape[1]:
            raise ValueError("rows of another shape")
        if not (np.isfinite(phi).all() and np.isfinite(reward).all()) or np.isnan(at_s).any():
            raise ValueError("a row holds a number that is not finite")
        self._phi, self._reward, self._at_s = phi.copy(), reward.astype(np.float64), at_s.astype(np.float64)
        self._is_closed, self.count = state["is_closed"].astype(np.bool_), count


def refuse_row(row: int, count: int) -> None:
    """Lets only the numbers of rows pass.

    Raises:
        NotARoundError: there is no such row.
    """
    if not 0 <= row < count:
        raise NotARoundError(f"there is no row {row} among {count}")
