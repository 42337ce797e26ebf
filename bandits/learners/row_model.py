"""A generalised linear model of all its rows: exact sums at the epoch's mode, Newton when an epoch ends, late rewards.

The estimating equation is sum of (y - F g(phi.w)) phi + P0 (m0 - w) = 0 with F the share of rewards that can have come by
the row's age: unbiased at every age, and the exact likelihood once F = 1. Between epochs each row is linearised at the
epoch's mode e: precision P0 + sum F g'(e) phi phi', response sum (y - F (g(e) - g'(e) phi.e)) phi. With the identity the
linearisation is exact, precision and covariance are told in units of the noise s2, the prior's too (it is meant at the
prior's dispersion), and s2 is what the rows were missed by before each was learned (Bishop, Pattern Recognition, 3.5).
"""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from bandits import dispersion, laplace
from bandits import link as links
from bandits.epoch import GROWTH
from bandits.kernels import symmetric
from bandits.kernels.packed import pack_posterior, packed_size, unpack_covariance
from bandits.kernels.rank_one import learn_row
from bandits.kernels.rows import linearise_rows
from bandits.learners.exploration import Belief
from bandits.learners.learner import F32, F64, DamagedStateError
from bandits.learners.prior import check_prior
from bandits.learners.rows import Arrays, Arrivals, Rows, refuse_row
from bandits.prior import Prior
from schema.snapshot import Link

ALWAYS_BELOW_ROWS: Final = 50
PSEUDO_ROWS: Final = 50.0
REWARD_RANGES: Final[dict[Link, tuple[float, float]]] = {"identity": (-np.inf, np.inf), "logit": (0.0, 1.0)}


class RowModel:
    """One head: its rows, the epoch's mode, the posterior N(mean, dispersion * covariance) in force."""

    def __init__(self, link: Link, prior: Prior, arrivals: Arrivals, intercept_sd: float) -> None:
        """With an intercept (its sd above 0) one more weight is learned than there are features.

        It is the same for all arms, so it is learned and never scored.
        """
        check_prior(prior)
        self.dims = len(prior.mean)
        if intercept_sd > 0.0:
            prior = Prior(np.append(prior.mean, 0.0), np.append(prior.precision, intercept_sd**-2), prior.dispersion)
        dims = len(prior.mean)
        self.link, self.prior, self.arrivals = link, prior, arrivals
        self.reward_range = REWARD_RANGES[link]
        self.rows = Rows(dims)
        self.mode: F64 = prior.mean.copy()
        self.dispersion = prior.dispersion
        self.epoch, self.rows_at_epoch = 0, 0
        self._outer: F64 = np.zeros((1, dims * (dims + 1) // 2))
        self._response: F64 = np.zeros(dims)  # of the rows in `_outer`
        self._total: F64 = np.zeros(dims)  # of the rows in the posterior
        self._squares = 0.0
        self._tiles: F64 = np.empty(packed_size(dims))  # the posterior to learn in ...
        self._packed: F32 = np.empty(packed_size(dims), np.float32)  # ... and to score with
        self._precision = prior.precision * (prior.dispersion if link == "identity" else 1.0)
        pack_posterior(prior.mean, np.diag(1.0 / self._precision), self._tiles, self._packed)

    @property
    def mean(self) -> F64:
        """(d,) of the posterior in force."""
        return self._tiles[: len(self.mode)]

    def covariance(self) -> F64:
        """(d, d) of the posterior in force, in units of the dispersion; made anew."""
        found = np.empty((len(self.mode), len(self.mode)))
        unpack_covariance(self._tiles, found)
        return found

    def belief(self) -> Belief:
        """The posterior in force."""
        return Belief(self._packed, math.sqrt(self.dispersion))

    def learn(self, phi_row: F32, reward: float) -> None:
        """A finished row, in the posterior at once."""
        row = self._with_intercept(phi_row)
        self.rows.append(row, reward, -np.inf, is_closed=True)
        eta = np.array(learn_row(self.link == "logit", self.mode, row, reward, self._tiles, self._packed))
        weight = float(links.slope(self.link, eta))
        response = (reward - float(links.mean(self.link, eta)) + weight * eta) * row.astype(np.float64)
        symmetric.add_outer(self._outer[0], row, weight)
        self._response += response
        self._total = self._total + response
        self._squares += reward**2
        if self.link == "identity":
            self.dispersion = self._noise(float(self.rows.count))
        elif self._is_epoch_over():
            self._begin_epoch(np.ones(self.rows.count))

    def show(self, phi_row: F32, at_s: float) -> int:
        return self.rows.append(self._with_intercept(phi_row), 0.0, at_s, is_closed=False)

    def answer(self, row: int, reward: float) -> None:
        rows = self.rows
        refuse_row(row, rows.count)
        if rows.is_closed[row]:
            self._response += (reward - rows.reward[row]) * rows.phi[row]
        rows.reward[row] = reward

    def refresh(self, now_s: float) -> None:
        """The posterior of all rows as of now_s: those whose rewards have all come are summed, the others weighed by F."""
        rows = self.rows
        share = np.ones(rows.count)
        opened = np.flatnonzero(~rows.is_closed)
        share[opened] = self.arrivals.at(now_s - rows.at_s[opened])
        closed = opened[share[opened] >= 1.0]
        rows.is_closed[closed] = True
        self._add(closed)
        if self.link == "logit" and self._is_epoch_over():
            self._begin_epoch(share)
        else:
            self._compose(share)
        if self.link == "identity":
            self.dispersion = self._noise(float(share.sum()))

    def state(self) -> Arrays:
        numbers = np.array([self.dispersion, self._squares, self.epoch, self.rows_at_epoch])
        totals = {"response": self._response, "total": self._total}
        posterior = {"mode": self.mode, "mean": self.mean.copy(), "covariance": self.covariance()}
        return {**self.rows.state(), **posterior, "outer": self._outer, "numbers": numbers} | totals

    def resume(self, state: Arrays) -> None:
        """Takes up what `state` gave.

        Raises:
            DamagedStateError: it is of another shape, a number is not finite or the covariance not positive definite.
            KeyError: an array is missing.
            ValueError: the rows are none.
        """
        dims = len(self.mode)
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("mode", "mean", "response", "total"), (dims,))
        shapes |= {"covariance": (dims, dims), "outer": self._outer.shape}
        for name, shape in shapes.items():
            if state[name].shape != shape or not np.isfinite(state[name]).all():
                raise DamagedStateError(f"{name} is not an array of the finite numbers of {dims} weights")
        dispersed, squares, epoch, rows_at_epoch = (float(number) for number in state["numbers"])
        if not (0.0 < dispersed < np.inf and 0.0 <= squares < np.inf):
            raise DamagedStateError("a dispersion that cannot be")
        _check_positive(state["covariance"])
        self.rows.resume(state)
        self.dispersion, self._squares = dispersed, squares
        self.epoch, self.rows_at_epoch = int(epoch), int(rows_at_epoch)
        self.mode = state["mode"].astype(np.float64)
        self._believe(state["mean"].astype(np.float64), state["covariance"].astype(np.float64))
        self._outer, self._response, self._total = (
            state[name].astype(np.float64) for name in ("outer", "response", "total")
        )

    def _with_intercept(self, phi_row: F32) -> F32:
        return phi_row if len(self.mode) == self.dims else np.append(phi_row, np.float32(1.0))

    def _is_epoch_over(self) -> bool:
        count = self.rows.count
        return count != self.rows_at_epoch and (
            count <= ALWAYS_BELOW_ROWS or count >= (1.0 + GROWTH) * self.rows_at_epoch
        )

    def _begin_epoch(self, share: F64) -> None:
        """A new mode over all rows, and all sums made anew at it."""
        blocks = self._blocks(share)
        self.mode = laplace.fit(blocks, self.prior, self.link, self.mean.copy()).mode.w
        self._outer[:], self._response[:] = 0.0, 0.0
        self._add(np.flatnonzero(self.rows.is_closed))
        self.dispersion = dispersion.estimate(blocks, self.prior, self.link, self.mode)
        self._compose(share)
        self.epoch += 1
        self.rows_at_epoch = self.rows.count

    def _noise(self, weight: float) -> float:
        """Noise variance of the identity: squares of the errors made before each row, shrunk to the prior's by pseudo-rows."""
        total = self._total + self._precision * self.prior.mean
        squares = self._squares + float(self._precision @ np.square(self.prior.mean)) - float(self.mean @ total)
        found = PSEUDO_ROWS * self.prior.dispersion + max(squares, 0.0)
        return found / (PSEUDO_ROWS + weight)

    def _blocks(self, share: F64) -> laplace.Blocks:
        rows = self.rows
        ones = np.ones(rows.count)

        def blocks() -> Iterator[laplace.Design]:
            yield laplace.Design(rows.phi, np.zeros(rows.count, np.float32), ones, share, rows.reward)

        return blocks

    def _add(self, which: npt.NDArray[np.int64]) -> None:
        self._response += self._sum(which, np.ones(len(which)), self._outer)

    def _sum(self, which: npt.NDArray[np.int64], share: F64, outer: F64) -> F64:
        """Adds the curvature of rows to outer and gives their response, both linearised at the mode."""
        phi, expected = self.rows.phi[which], np.zeros((1, len(self.mode)))
        none, first = np.zeros(len(which), np.float32), np.zeros(len(which), np.int64)
        linearise_rows(self.link == "logit", phi, none, share, self.mode, first, outer, expected)
        response: F64 = self.rows.reward[which] @ phi - expected[0]
        return response

    def _believe(self, mean: F64, covariance: F64) -> None:
        pack_posterior(mean, np.ascontiguousarray(covariance), self._tiles, self._packed)

    def _compose(self, share: F64) -> None:
        """The posterior of the sums and the open rows; one that is none is refused and the last stays."""
        opened = np.flatnonzero(~self.rows.is_closed & ((share > 0.0) | (self.rows.reward != 0.0)))
        outer = self._outer.copy()
        self._total = self._response + self._sum(opened, share[opened], outer)
        precision = np.empty((len(self.mode), len(self.mode)))
        symmetric.unpack(outer[0], precision)
        precision += np.diag(self._precision)
        self._believe(*_inverse_of(precision, self._total + self._precision * self.prior.mean))
        self._squares = float(self.rows.reward @ self.rows.reward)


def _inverse_of(precision: F64, total: F64) -> tuple[F64, F64]:
    try:
        root = np.linalg.inv(np.linalg.cholesky(precision))
    except np.linalg.LinAlgError as error:
        raise DamagedStateError(f"the precision is not positive definite: {error}") from error
    covariance = root.T @ root
    mean = covariance @ total
    if not np.isfinite(mean).all():
        raise DamagedStateError("the posterior is not finite")
    return mean, covariance


def _check_positive(covariance: F64) -> None:
    try:
        np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError as error:
        raise DamagedStateError(f"the covariance is not positive definite: {error}") from error
