"""The personal layer: a small Gaussian offset of one person on the log-odds of a redemption, kept as sums in 180 bytes.

The predictor of an offer is eta = phi . w + z . tau with w shared by all and tau ~ N(0, V) a person's own: how much more or less than
others they follow their habits (slopes), and which directions of taste they answer to (axes, bandits.taste_map). V has one variance for
each of the two blocks, learned from everybody's sums (bandits.personal_variance).

A row is linearised at the predictor it was decided by, which was logged. With p = sigmoid(eta) and o = z . tau as logged

    A += d p (1 - p) z z',    b += d [(y - p) z + p (1 - p) o z],    tau ~ N(S b, S),    S^-1 = V^-1 + A,

so that the sums are a function of the log, whatever its order, and a row can be taken back. d fades with the age of the row, counted from
a fixed epoch. A showing counts at once as unanswered and its redemption adds d z: this layer acts in the next decision, without waiting
for the attribution window.

A word of the person (a thumb, a dismissal) is not one more showing: how seldom deals are redeemed says nothing of whether somebody likes
one. It is a choice between yes and no whose log-odds are z . tau alone, and is linearised there.
"""

import math
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.event_time import decay_weight
from bandits.kernels import personal as kernels

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

VERSION: Final = 1
"""Raised whenever the meaning of a column of z changes: sums of another version count as none."""

SLOPES: Final = ("lp", "soon", "later")
"""The columns of phi (bandits.features.NAMES) whose weight may differ from person to person."""

AXES: Final = kernels.AXES
DIMS: Final = kernels.DIMS
BLOCKS: Final = (kernels.SLOPES, kernels.AXES)
"""Columns in each block of z; a block has one prior variance."""

VARIANCES: Final = (0.03, 0.01)
"""What the prior variance of each block is taken for until it has been learned."""

_HEAD: Final = struct.Struct("<HH")  # version and dimensions, before the sums as float32
BYTES: Final = _HEAD.size + 4 * kernels.SIZE
_NOTHING: Final = np.zeros(kernels.SIZE, np.float32)


class UnknownSumsError(ValueError):
    """The bytes are not sums this program can read."""


class PersonalScores(NamedTuple):
    """One person's own part of one draw: z (offers, DIMS), tau ~ N(mean (DIMS,), covariance (DIMS, DIMS)), all float32."""

    z: F32
    mean: F32
    covariance: F32


class LoggedRow(NamedTuple):
    """A slot as it was decided: z (DIMS,), eta the whole predictor of the redemption, offset what z . tau had part in it."""

    z: F32
    eta: float
    offset: float


class Personal:
    """One person's sums, (kernels.SIZE,) float64, weighted from the fixed epoch."""

    __slots__ = ("sums",)

    def __init__(self) -> None:
        self.sums: F64 = np.zeros(kernels.SIZE)

    def shown(self, row: LoggedRow, at_s: float, count: float = 1.0) -> None:
        """An offer shown at at_s (seconds since 1970), unanswered so far; count -1 takes it back."""
        self._observe(row, row.eta, 0.0, count * decay_weight(at_s))

    def redeemed(self, row: LoggedRow, shown_at_s: float, count: float = 1.0) -> None:
        """The redemption of what was shown at shown_at_s; count -1 takes it back."""
        kernels.add_row(self.sums, row.z, 0.0, count * decay_weight(shown_at_s))

    def said(self, row: LoggedRow, at_s: float, answer: float, weight: float) -> None:
        """A word of the person about the offer: yes (1) or no (0), as if it had been said `weight` times."""
        self._observe(row, row.offset, answer, weight * decay_weight(at_s))

    def _observe(self, row: LoggedRow, eta: float, outcome: float, weight: float) -> None:
        chance = _sigmoid(eta)
        curvature = chance * (1.0 - chance)
        kernels.add_row(self.sums, row.z, weight * curvature, weight * (outcome - chance + curvature * row.offset))

    def add(self, other: "Personal") -> None:
        """Adds the sums of a person who turns out to be the same."""
        self.sums += other.sums

    def pack(self) -> bytes:
        """As a little-endian record of BYTES bytes."""
        return _HEAD.pack(VERSION, DIMS) + self.sums.astype("<f4").tobytes()


def unpack(data: bytes) -> Personal:
    """Reads what `pack` wrote; no bytes are a person nothing is known of.

    Raises:
        UnknownSumsError: another version or length, or numbers that are not finite.
    """
    personal = Personal()
    if data:
        personal.sums[:] = _sums(data)
        if not np.isfinite(personal.sums).all():
            raise UnknownSumsError("sums that are not finite")
    return personal


def _sums(data: bytes) -> F32:
    if len(data) != BYTES:
        raise UnknownSumsError(f"{len(data)} bytes instead of {BYTES}")
    version, dims = _HEAD.unpack_from(data)
    if (version, dims) != (VERSION, DIMS):
        raise UnknownSumsError(f"version {version} of {dims} dimensions")
    return np.frombuffer(data, "<f4", kernels.SIZE, _HEAD.size)


def z_of(phi: F32, slopes: Sequence[int], axes: F32, may_be_personal: npt.NDArray[np.bool_]) -> F32:
    """The personal columns of every offer, (offers, DIMS).

    Args:
        phi: (offers, d) features.
        slopes: which columns of phi are those of SLOPES.
        axes: (offers, AXES) the mean over the offer's tags, see taste_map.axes_of.
        may_be_personal: (offers,) False gives a row of zeros: such an offer is scored as for a stranger.
    """
    lp, soon, later = slopes
    z = np.empty((len(phi), DIMS), np.float32)
    kernels.columns(phi, axes, may_be_personal, lp, soon, later, z)
    return z


def scores(z: F32, data: bytes, variances: Sequence[float], now_s: float) -> PersonalScores:
    """What a draw needs of a person; no bytes are somebody new, of whom the prior alone is known.

    Args:
        z: (offers, DIMS) of `z_of`.
        data: packed sums.
        variances: prior variance of each block.
        now_s: seconds since 1970.

    Raises:
        UnknownSumsError: `data` cannot be read, or does not give a posterior.
    """
    mean, covariance = np.empty(DIMS, np.float32), np.empty((DIMS, DIMS), np.float32)
    sums = _sums(data) if data else _NOTHING
    if not kernels.posterior(sums, 1.0 / decay_weight(now_s), precision_of(variances), mean, covariance):
        raise UnknownSumsError("sums without a posterior")
    return PersonalScores(z, mean, covariance)


def precision_of(variances: Sequence[float]) -> F64:
    """(DIMS,) prior precisions from the variance of each block."""
    return _precisions(tuple(variances))


@lru_cache(maxsize=64)
def _precisions(variances: tuple[float, ...]) -> F64:
    precisions = np.repeat(1.0 / np.array(variances), BLOCKS)
    precisions.flags.writeable = False
    return precisions


def _sigmoid(eta: float) -> float:
    return 1.0 / (1.0 + math.exp(-eta)) if eta >= 0.0 else 1.0 - 1.0 / (1.0 + math.exp(eta))
