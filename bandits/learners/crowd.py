"""Many users decided at once for the same offers, on all cores: features = user (x) offer, never written out."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.kernels.crowd import contract, decide_crowd
from bandits.kernels.lanes import WIDTH
from bandits.kernels.packed import ARMS, padded
from bandits.learners.learner import F32, F64, Mask, NotARoundError

BLOCK_USERS: Final = 2_048


class Contraction(NamedTuple):
    """A posterior and the offers made ready: see bandits.kernels.crowd. One for each snapshot and catalogue."""

    weights: F32
    table: F32
    offers: F32
    arms: int


class Choices(NamedTuple):
    """What was drawn: chosen (n,), -1 without an eligible arm, propensity (n,), and the pmf (n, arms) if it was asked for."""

    chosen: npt.NDArray[np.int64]
    propensity: F64
    pmf: F32


def contraction(mean: F64, covariance: F64, offers: F32) -> Contraction:
    """Makes ready.

    Args:
        mean: (du * do,) of the weights; that of user number i and offer number l stands at i * do + l.
        covariance: (du * do, du * do).
        offers: (arms, do).

    Raises:
        NotARoundError: shapes do not fit or a number is not finite.
    """
    arms, do = offers.shape
    du, rest = divmod(len(mean), do)
    if rest or covariance.shape != (len(mean), len(mean)):
        raise NotARoundError(f"{len(mean)} weights are not those of offers of {do} features")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all() and np.isfinite(offers).all()):
        raise NotARoundError("a number is not finite")
    weights = np.zeros((du, padded(do, WIDTH)), np.float32)
    weights[:, :do] = mean.reshape(du, do)
    table = np.zeros((du * (du + 1) // 2, padded(do * (do + 1) // 2, ARMS)), np.float32)
    contract(np.ascontiguousarray(covariance), table)
    columns = np.zeros((do, padded(arms, WIDTH)), np.float32)
    columns[:, :arms] = offers.T
    return Contraction(weights, table, columns, arms)


def decide(
    ready: Contraction,
    users: F32,
    mask: Mask,
    keys: npt.NDArray[np.uint64],
    *,
    scale: float,
    floor: float,
    with_pmf: bool = False,
    threads: int | None = None,
) -> Choices:
    """Draws one arm for each user by Thompson's pmf relative to that user's best offer.

    The result does not depend on who else is in the call nor on the number of threads.

    Args:
        ready: of `contraction`.
        users: (n, du) features.
        mask: (n, arms) True where the arm is eligible.
        keys: (n,) of the decisions.
        scale: of the standard deviations.
        floor: epsilon, spread evenly over a user's eligible arms.
        with_pmf: whether the whole pmf is wanted.
        threads: None takes all cores.

    Raises:
        NotARoundError: shapes do not fit or a number is not finite.
    """
    n = len(users)
    if users.shape != (n, len(ready.weights)) or mask.shape != (n, ready.arms) or keys.shape != (n,):
        raise NotARoundError(f"users {users.shape}, mask {mask.shape} and keys {keys.shape} do not fit")
    if not np.isfinite(users).all():
        raise NotARoundError("a feature is not finite")
    pmf = np.empty((n, ready.arms) if with_pmf else (0, 0), np.float32)
    drawn = Choices(np.empty(n, np.int64), np.empty(n), pmf)

    def work(part: slice) -> None:
        whole = pmf[part] if with_pmf else pmf
        out = (whole, drawn.chosen[part], drawn.propensity[part])
        decide_crowd(users[part], *ready[:3], mask[part], scale, floor, keys[part], *out)

    with ThreadPoolExecutor(threads or len(os.sched_getaffinity(0))) as pool:
        list(pool.map(work, _parts(n)))
    return drawn


def _parts(n: int) -> Iterator[slice]:
    return (slice(at, min(at + BLOCK_USERS, n)) for at in range(0, n, BLOCK_USERS))
