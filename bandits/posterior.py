"""The shared posterior: sums over exposures, the delay rule, and the Gaussian they compose to.

For head h the model is y = phi . w + noise, w ~ N(m0, P0^-1). With the sums over exposures i of age a_i

    A_h = sum_i d_i F_h(a_i) phi_i phi_i',    b_h = sum_i d_i phi_i y_i,

where d_i is the event-time decay and F_h(a) the share of the rewards of h that arrive by age a, the posterior is
N(m, S) with S^-1 = P0 + A/s^2 and m = S (P0 m0 + b/s^2). A row counts only as far as its answer could have come, while a reward
counts at once: E[b] = A w at every age, so young exposures do not drag the mean down.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.kernels import symmetric
from schema.snapshot import HEADS

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

WINDOWS_S: Final = (6 * 3600.0, 72 * 3600.0)
"""Attribution window of each head (schema.snapshot.HEADS): a reward later than this after the exposure is not the offer's."""

WINDOW_S: Final = max(WINDOWS_S)

COHORT_S: Final = 6 * 3600.0
"""Exposures of the same six hours share sums, and so an age."""

CLOSED: Final = -1
"""The cohort that holds all exposures whose window has passed."""

AGE_EDGES_S: Final = tuple(3600.0 * hours for hours in (1, 3, 6, 12, 24, 36, 48, 60, 72))
"""Ends of the age buckets in which the arrival of rewards is counted."""

ARRIVALS_PRIOR: Final = 1.0
"""Pseudo-rewards spread over the window in proportion to time, until real ones have been counted."""

HALF_LIFE_S: Final = 180 * 86400.0
EPOCH_S: Final = 1_577_836_800.0  # 2020-01-01
"""Event-time decay counts from a fixed epoch, so that sums over any part of the log may be added."""


class NotAPosteriorError(ValueError):
    """The sums do not give a finite, positive definite posterior; nothing is to be published."""


def cohort_of(exposed_at_s: float) -> int:
    """The cohort an exposure of that instant belongs to."""
    return int(exposed_at_s // COHORT_S)


def is_closed(cohort: int, now_s: float) -> bool:
    """Whether the windows of all exposures of the cohort have passed."""
    return (cohort + 1) * COHORT_S + WINDOW_S <= now_s


def decay_weight(at_s: float) -> float:
    """Event-time weight of a row, relative to the fixed epoch."""
    return float(2.0 ** ((at_s - EPOCH_S) / HALF_LIFE_S))


class Sums:
    """Sums over the exposures of one cohort of one partition.

    outer is packed (d(d+1)/2,) f64, weight and count scalars in a (2,) f64, response (heads, d) f64, arrivals (heads, buckets) f64.
    """

    __slots__ = ("arrivals", "outer", "response", "totals")

    def __init__(self, dims: int) -> None:
        self.outer: F64 = np.zeros(dims * (dims + 1) // 2)
        self.totals: F64 = np.zeros(2)
        self.response: F64 = np.zeros((len(HEADS), dims))
        self.arrivals: F64 = np.zeros((len(HEADS), len(AGE_EDGES_S)))

    def add_exposure(self, phi: F32, exposed_at_s: float, count: float = 1.0) -> None:
        """Counts an offer that was shown, or takes it back (count -1); phi is (d,)."""
        weight = count * decay_weight(exposed_at_s)
        symmetric.add_outer(self.outer, phi, weight)
        self.totals += (weight, count)

    def add_reward(
        self, head: int, phi: F32, exposed_at_s: float, age_s: float, value: float, count: float = 1.0
    ) -> None:
        """Counts a reward of the exposure, age_s after it, or takes it back (count -1); the caller has checked the window."""
        weight = count * decay_weight(exposed_at_s)
        self.response[head] += weight * value * phi.astype(np.float64)
        self.arrivals[head, int(np.searchsorted(AGE_EDGES_S, min(age_s, WINDOW_S)))] += weight

    def add(self, other: "Sums") -> None:
        """Adds the sums of another cohort or partition."""
        for name in self.__slots__:
            getattr(self, name).__iadd__(getattr(other, name))

    def pack(self) -> bytes:
        """As little-endian float64, in the order of the slots' docstring."""
        return b"".join(
            np.ascontiguousarray(part, "<f8").tobytes()
            for part in (self.outer, self.totals, self.response, self.arrivals)
        )


def unpack(data: bytes, dims: int) -> Sums:
    """Reads what `pack` wrote.

    Raises:
        ValueError: the length is not that of sums over `dims` features.
    """
    sums = Sums(dims)
    flat = np.frombuffer(data, "<f8")
    if flat.size != sum(getattr(sums, name).size for name in Sums.__slots__):
        raise ValueError(f"{len(data)} bytes are not the sums of {dims} features")
    at = 0
    for name in ("outer", "totals", "response", "arrivals"):
        part = getattr(sums, name)
        part[...] = flat[at : at + part.size].reshape(part.shape)
        at += part.size
    return sums


class Prior(NamedTuple):
    """What is believed of one head before any exposure: mean (d,), precision (d,) of independent weights, noise variance."""

    mean: F64
    precision: F64
    noise_variance: float


class Posterior(NamedTuple):
    """N(mean, covariance) of one head; mean (d,) f64, covariance (d, d) f64, arrived (buckets,), matured weight of the exposures."""

    mean: F64
    covariance: F64
    noise_variance: float
    arrived: F64
    exposures: float


def arrived_shares(arrivals: F64, window_s: float) -> F64:
    """F_h at the end of each age bucket, (buckets,), from decayed counts of rewards by age in closed windows of window_s."""
    widths = np.diff(np.minimum((0.0, *AGE_EDGES_S), window_s))
    counts = arrivals + ARRIVALS_PRIOR * widths / window_s
    shares: F64 = np.cumsum(counts) / counts.sum()
    return shares


def maturity(cohort: int, arrived: F64, now_s: float) -> float:
    """F_h at the mean age of the cohort's exposures (of those so far, while it fills), linear between the edges of the buckets."""
    if cohort == CLOSED:
        return 1.0
    begin_s = cohort * COHORT_S
    age_s = max(now_s - begin_s - COHORT_S / 2, (now_s - begin_s) / 2)
    return float(np.interp(age_s, (0.0, *AGE_EDGES_S), (0.0, *arrived)))


def compose(cohorts: Mapping[int, Sums], priors: Sequence[Prior], now_s: float) -> list[Posterior]:
    """The posterior of every head from the sums of all partitions, by cohort, as of now_s.

    Raises:
        NotAPosteriorError: the result is not finite or not positive definite.
    """
    return [_head(head, cohorts, prior, now_s) for head, prior in enumerate(priors)]


def _head(head: int, cohorts: Mapping[int, Sums], prior: Prior, now_s: float) -> Posterior:
    dims = len(prior.mean)
    closed = cohorts.get(CLOSED)
    now_weight = decay_weight(now_s)
    arrivals = closed.arrivals[head] / now_weight if closed is not None else np.zeros(len(AGE_EDGES_S))
    arrived = arrived_shares(arrivals, WINDOWS_S[head])
    outer, response, exposures = np.zeros(dims * (dims + 1) // 2), np.zeros(dims), 0.0
    for cohort in sorted(cohorts):  # a fixed order, so that the same sums give the same bits
        sums, share = cohorts[cohort], maturity(cohort, arrived, now_s)
        outer += share * sums.outer
        response += sums.response[head]
        exposures += share * float(sums.totals[0])
    scale = 1.0 / (now_weight * prior.noise_variance)
    seen = np.empty((dims, dims))
    symmetric.unpack(outer, seen)
    precision = np.diag(prior.precision) + scale * seen
    try:
        factor = np.linalg.cholesky(precision)
    except np.linalg.LinAlgError as error:
        raise NotAPosteriorError(f"head {HEADS[head]}: {error}") from error
    inverse_factor = np.linalg.inv(factor)
    covariance = inverse_factor.T @ inverse_factor
    mean = covariance @ (prior.precision * prior.mean + scale * response)
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise NotAPosteriorError(f"head {HEADS[head]}: the posterior is not finite")
    return Posterior(mean, covariance, prior.noise_variance, arrived, exposures / now_weight)
