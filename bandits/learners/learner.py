"""The promise of a policy that learns from its own log: a full pmf, a draw with its propensity, and rewards, late ones too."""

from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

NOBODY = -1
"""The arm of a choice when no arm was eligible."""


class NotARoundError(ValueError):
    """What was handed to a learner is no round: a wrong shape, a number that is not finite, a row that does not exist."""


class DamagedStateError(ValueError):
    """Bytes that are not the state of a learner of this kind, or a state with which nothing may be decided."""


class Choice(NamedTuple):
    """The arm drawn, an index into phi, and the very probability it was drawn with; (NOBODY, 0) without an eligible arm."""

    arm: int
    propensity: float


class Learner(Protocol):
    """Coba's score, predict and learn, with rewards that may come late.

    A row is learned in one of two ways. `learn` takes a finished row, and the next `score` knows it. `show` tells of a row
    whose answer is not known yet, `answer` of its answer; both count from the next `refresh` on, which makes the posterior
    the following rounds are decided with (a shared snapshot is one refresh for many rounds).
    """

    def score(self, phi: F32, mask: Mask) -> F64:
        """The pmf over the arms, (arms,) float64: exactly 0 where masked, sums to 1, or to 0 when no arm is eligible.

        Args:
            phi: (arms, d) features.
            mask: (arms,) True where the arm is eligible.

        Raises:
            NotARoundError: shapes do not fit or a number is not finite.
        """
        ...

    def predict(self, phi: F32, mask: Mask, key: int) -> Choice:
        """One arm drawn from `score` with the uniform number (key, 0) of bandits.kernels.random; the same key draws the same."""
        ...

    def learn(self, phi_row: F32, reward: float, propensity: float) -> None:
        """Counts a finished row.

        Args:
            phi_row: (d,) features of the arm that was drawn.
            reward: what it earned; 0 or 1 for a logistic learner.
            propensity: the probability it was drawn with, in (0, 1].

        Raises:
            NotARoundError: as in `score`, or a propensity that cannot be.
        """
        ...

    def show(self, phi_row: F32, propensity: float, at_s: float) -> int:
        """Tells of a row drawn at at_s, in any unit the learner's delay is told in; returns its number."""
        ...

    def answer(self, row: int, reward: float) -> None:
        """The reward of a row that was shown; another answer replaces it.

        Raises:
            NotARoundError: there is no such row, or the reward is not finite.
        """
        ...

    def refresh(self, now_s: float) -> None:
        """Makes the posterior that rounds are decided with from here on, of all rows and answers so far, as of now_s."""
        ...


def check_round(phi: F32, mask: Mask, dims: int) -> None:
    """Refuses what is no round.

    Raises:
        NotARoundError: the message says why.
    """
    if phi.ndim != 2 or phi.shape[1] != dims or mask.shape != phi.shape[:1]:
        raise NotARoundError(f"phi {phi.shape} and mask {mask.shape} do not make a round of {dims} features")
    if not np.isfinite(phi).all():
        raise NotARoundError("a feature is not finite")


def check_row(phi_row: F32, propensity: float, dims: int) -> None:
    """Refuses what is no row, as `check_round`."""
    if phi_row.shape != (dims,):
        raise NotARoundError(f"a row of {dims} features is needed, got {phi_row.shape}")
    if not np.isfinite(phi_row).all():
        raise NotARoundError("a feature is not finite")
    if not 0.0 < propensity <= 1.0:
        raise NotARoundError(f"a propensity of {propensity} cannot be")


def spread(mask: Mask, share: F64, floor: float) -> F64:
    """(1 - floor) of `share` and the floor evenly over the eligible arms; zeros when there are none.

    Args:
        mask: (arms,) eligible arms.
        share: (arms,) sums to 1 over the mask.
        floor: epsilon in [0, 1].
    """
    eligible = int(np.count_nonzero(mask))
    out: npt.NDArray[Any] = np.where(mask, (1.0 - floor) * share + floor / max(eligible, 1), 0.0)
    return out
