"""The personal layer: a small Gaussian offset of one person on the log-odds of a redemption, kept as sums in 180 bytes.

The predictor of an offer is eta = phi . w + z . tau with w shared by all and tau ~ N(0, V) a person's own: how much more or less than
others they follow their habits (slopes), and which directions of taste they answer to (axes, bandits.taste_map). V has one variance for
each of the two blocks, learned from everybody's sums (bandits.personal_variance).

A row enters by the quadratic bound of its log-likelihood that touches it at the predictor it was decided by, which was logged (Jaakkola and
Jordan 2000, Bayesian parameter estimation via variational methods). With p = sigmoid(eta), c = (p - 1/2) / eta and o = z . tau as logged

    A += d c z z',    b += d [(y - p) z + c o z],    tau ~ N(S b, S),    S^-1 = V^-1 + A,

so that the sums are a function of the log, whatever its order, and a row can be taken back. Newton's curvature p (1 - p) would take one
redemption at a chance of one in fifty for a wish of fifty logits, and V for as wide (docs/decisions/0006). What is redeemed counts at once. A showing
counts as unanswered only when its attribution window is over: who opens the app every day always has some days of showings of the best
offer under way, and so many false "no" would make it look bad (docs/decisions/0006). The caller tells when.

d fades with the age of the row, by half in 56 days: an old liking must not outvote what the shared model says of somebody who has
changed. Sums are relative to the half-life that the latest row lies in, and moved to a later one by a power of two, which is exact.

A word of the person (a thumb, a dismissal) is not one more showing: how seldom deals are redeemed says nothing of whether somebody likes
one. It is a choice between yes and no whose log-odds are z . tau alone, and is bounded there.
"""

import math
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.kernels import personal as kernels

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

VERSION: Final = 3
"""Raised whenever the meaning of a column of z changes, or of the sums: those of another version count as none."""

HALF_LIFE_S: Final = 56 * 86400.0
"""Of a person's own rows; those of the shared model stay for longer (bandits.event_time)."""

SLOPES: Final = ("lp", "soon", "later")
"""The columns of phi (bandits.features.NAMES) whose weight may differ from person to person."""

AXES: Final = kernels.AXES
DIMS: Final = kernels.DIMS
BLOCKS: Final = (kernels.SLOPES, kernels.AXES)
"""Columns in each block of z; a block has one prior variance."""

VARIANCES: Final = (0.03, 0.01)
"""What the prior variance of each block is taken for until it has been learned."""

_AHEAD_MAX: Final = 64.0
"""Half-lives by which sums are later than now at most: what says more was damaged, and is a number all the same."""
_HEAD: Final = struct.Struct("<BBH")  # version, dimensions, `Personal.period`, before the sums as float32
BYTES: Final = _HEAD.size + 4 * kernels.SIZE
_TINY: Final = 1e-6
_NOTHING: Final = np.zeros(kernels.SIZE, np.float32)
_NOTHING_PACKED: Final = _NOTHING.tobytes()


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
    """One person's sums, (kernels.SIZE,) float64; a row at the beginning of half-life number `period` since 1970 weighs 1."""

    __slots__ = ("period", "sums")

    def __init__(self) -> None:
        self.sums: F64 = np.zeros(kernels.SIZE)
        self.period = 0

    def shown(self, row: LoggedRow, at_s: float, count: float = 1.0) -> None:
        """An offer shown at at_s (seconds since 1970), unanswered so far; count -1 takes it back."""
        self._observe(row, row.eta, 0.0, count * self._weight(at_s))

    def redeemed(self, row: LoggedRow, shown_at_s: float, count: float = 1.0) -> None:
        """The redemption of what was shown at shown_at_s, which counts besides; count -1 takes it back."""
        kernels.add_row(self.sums, row.z, 0.0, count * self._weight(shown_at_s))

    def said(self, row: LoggedRow, at_s: float, answer: float, weight: float) -> None:
        """A word of the person about the offer: yes (1) or no (0), as if it had been said `weight` times."""
        self._observe(row, row.offset, answer, weight * self._weight(at_s))

    def _observe(self, row: LoggedRow, eta: float, outcome: float, weight: float) -> None:
        chance = _sigmoid(eta)
        curvature = _bound(eta, chance)
        kernels.add_row(self.sums, row.z, weight * curvature, weight * (outcome - chance + curvature * row.offset))

    def _weight(self, at_s: float) -> float:
        """What a row of that instant weighs among the sums, which are moved to its half-life if that is a later one."""
        self._move(int(at_s // HALF_LIFE_S))
        return 1.0 / faded(self.period, at_s)

    def _move(self, period: int) -> None:
        if period > self.period:
            self.sums *= 2.0 ** (self.period - period)
            self.period = period

    def add(self, other: "Personal") -> None:
        """Adds the sums of a person who turns out to be the same."""
        self._move(other.period)
        self.sums += other.sums * 2.0 ** (other.period - self.period)

    def at(self, now_s: float) -> F64:
        """The sums, (kernels.SIZE,), as they weigh at that instant."""
        return self.sums * faded(self.period, now_s)

    def pack(self) -> bytes:
        """As a little-endian record of BYTES bytes."""
        return _HEAD.pack(VERSION, DIMS, self.period) + self.sums.astype("<f4").tobytes()


def unpack(data: bytes) -> Personal:
    """Reads what `pack` wrote; no bytes are a person nothing is known of.

    Raises:
        UnknownSumsError: another version or length, or numbers that are not finite.
    """
    personal = Personal()
    if data:
        personal.period, personal.sums[:] = _read(data)
        if not np.isfinite(personal.sums).all():
            raise UnknownSumsError("sums that are not finite")
    return personal


def _read(data: bytes) -> tuple[int, F32]:
    """Half-lives from 1970 to the unit of weight, and the sums."""
    return _period(data), np.frombuffer(data, "<f4", kernels.SIZE, _HEAD.size)


def _period(data: bytes) -> int:
    """Half-lives from 1970 to the unit of weight of sums that can be read."""
    if len(data) != BYTES:
        raise UnknownSumsError(f"{len(data)} bytes instead of {BYTES}")
    version, dims, period = _HEAD.unpack_from(data)
    if (version, dims) != (VERSION, DIMS):
        raise UnknownSumsError(f"version {version} of {dims} dimensions")
    return int(period)


def end_to_end(sums: Sequence[bytes], now_s: float) -> tuple[F32, list[float]]:
    """Sums (n, kernels.SIZE) of n people, and what those of each are worth now; no bytes are somebody new.

    Raises:
        UnknownSumsError: one of them cannot be read.
    """
    periods = [_period(data) if data else 0 for data in sums]
    worth = {period: faded(period, now_s) for period in {*periods}}
    numbers = b"".join([data[_HEAD.size :] or _NOTHING_PACKED for data in sums])
    return np.frombuffer(numbers, "<f4").reshape(len(sums), kernels.SIZE), [worth[period] for period in periods]


def faded(period: int, now_s: float) -> float:
    """What is left at now_s of the weight 1 at the beginning of a half-life."""
    return float(2.0 ** min(period - now_s / HALF_LIFE_S, _AHEAD_MAX))


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
    period, sums = _read(data) if data else (0, _NOTHING)
    if not kernels.posterior(sums, faded(period, now_s), precision_of(variances), mean, covariance):
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


def _bound(eta: float, chance: float) -> float:
    """Curvature of the quadratic that touches ln sigmoid(+-eta) at eta and -eta, and lies below it everywhere."""
    return (chance - 0.5) / eta if abs(eta) > _TINY else 0.25


def _sigmoid(eta: float) -> float:
    return 1.0 / (1.0 + math.exp(-eta)) if eta >= 0.0 else 1.0 - 1.0 / (1.0 + math.exp(eta))
