"""The mode of one head's posterior by Newton's method over all rows: where a Laplace approximation is taken.

It solves sum_i d_i (y_i - F_i g(eta_i)) phi_i + P0 (m0 - w) = 0, an estimating equation without bias at every age of a row, which is the
gradient of a concave function and, once every F is 1, the likelihood itself. Newton's step is halved until the objective falls enough, so a
step never makes it worse (docs/decisions/0005).
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.kernels import rows as kernels
from bandits.kernels import symmetric
from bandits.prior import Prior
from schema.snapshot import Link

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

STEPS_MAX: Final = 25
HALVINGS_MAX: Final = 30
ENOUGH: Final = 1e-4
"""Armijo: a step must bring at least this share of what the gradient promises."""

DECREMENT_MIN: Final = 1e-6
"""Newton's decrement squared, twice what is left to be gained in log posterior: below this the mode is found."""


class NotAPosteriorError(ValueError):
    """The rows do not give a finite, positive definite posterior; nothing is to be published."""


class Design(NamedTuple):
    """A block of n rows of one head: phi (n, d), and (n,) each: offset of eta, weight d, maturity F, reward y."""

    phi: F32
    offset: F32
    weight: F64
    maturity: F64
    reward: F64


Blocks = Callable[[], Iterable[Design]]
"""Called once for each pass over the rows; every pass must give the same rows."""


class Point(NamedTuple):
    """The objective (minus log posterior, up to a constant), gradient (d,) and Hessian (d, d) at w (d,)."""

    w: F64
    objective: float
    gradient: F64
    hessian: F64


class Fit(NamedTuple):
    """The mode found, its precision the Hessian there, and how many Newton steps led to it."""

    mode: Point
    steps: int


def fit(blocks: Blocks, prior: Prior, link: Link, start: F64) -> Fit:
    """Newton from `start` (d,); the point found is never worse than the start.

    Raises:
        NotAPosteriorError: objective or Hessian at the start are not finite, or a Hessian is not positive definite.
    """
    return improve(blocks, prior, link, evaluate(blocks, prior, link, start))


def improve(blocks: Blocks, prior: Prior, link: Link, here: Point) -> Fit:
    """As `fit`, from a point that has been evaluated."""
    for steps in range(STEPS_MAX):
        direction = -_solve(here)
        decrement = -float(here.gradient @ direction)
        there = _search(blocks, prior, link, here, direction) if decrement >= DECREMENT_MIN else None
        if there is None:
            return Fit(here, steps)
        here = there
    return Fit(here, STEPS_MAX)


def evaluate(blocks: Blocks, prior: Prior, link: Link, w: F64) -> Point:
    """One pass over the rows at w.

    Raises:
        NotAPosteriorError: a number is not finite.
    """
    point = _pass(blocks, prior, link, w)
    if not _is_finite(point):
        raise NotAPosteriorError("the objective is not finite")
    return point


def _pass(blocks: Blocks, prior: Prior, link: Link, w: F64) -> Point:
    dims = len(w)
    objective, gradient, packed = 0.0, np.zeros(dims), np.zeros(dims * (dims + 1) // 2)
    for block in blocks():
        objective += kernels.newton_rows(link == "logit", *block, w, gradient, packed)
    scale = 1.0 / prior.dispersion if link == "identity" else 1.0
    hessian = np.empty((dims, dims))
    symmetric.unpack(packed, hessian)
    away = w - prior.mean
    return Point(
        w,
        scale * objective + 0.5 * float(away @ (prior.precision * away)),
        scale * gradient + prior.precision * away,
        scale * hessian + np.diag(prior.precision),
    )


def _search(blocks: Blocks, prior: Prior, link: Link, here: Point, direction: F64) -> Point | None:
    """The first of the steps 1, 1/2, 1/4 ... that lowers the objective enough; None when rounding is all that is left."""
    promised = float(here.gradient @ direction)
    share = 1.0
    for _ in range(HALVINGS_MAX):
        there = _pass(blocks, prior, link, here.w + share * direction)
        if _is_finite(there) and there.objective <= here.objective + ENOUGH * share * promised:
            return there
        share *= 0.5
    return None


def _solve(point: Point) -> F64:
    try:
        factor = np.linalg.cholesky(point.hessian)
    except np.linalg.LinAlgError as error:
        raise NotAPosteriorError(str(error)) from error
    solution: F64 = np.linalg.solve(factor.T, np.linalg.solve(factor, point.gradient))
    return solution


def _is_finite(point: Point) -> bool:
    return bool(np.isfinite(point.objective) and np.isfinite(point.gradient).all() and np.isfinite(point.hessian).all())
