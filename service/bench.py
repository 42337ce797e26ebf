"""How long the kernels take as a decision calls them: from Python, one user at a time."""

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.kernels import draw, linear, random, symmetric
from bandits.kernels.pmf import argmax_pmf
from schema.snapshot import HEADS

BATCHES: Final = 30
CALLS: Final = 200
USERS: Final = 1_000
SEED: Final = 20_260_302

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


class _Posterior(NamedTuple):
    """A random posterior: means (heads, d), covariances (heads, d, d)."""

    means: F32
    covariances: F32


class _Scratch(NamedTuple):
    """What the kernels write: predictions (heads, offers), the pmf (1, offers), one slot."""

    means: F32
    variances: F32
    pmf: F64
    chosen: npt.NDArray[np.int64]
    propensity: F64


def kernels(offers: int, dims: int) -> dict[str, float]:
    """Medians over batches of calls, in microseconds, and users decided for each second in one thread.

    A decision is the scores of both heads, the pmf and the draw of one slot; an update adds one exposure to the sums.
    """
    rng = np.random.default_rng(SEED)
    posterior = _random_posterior(rng, dims)
    users = rng.random((USERS, offers, dims), np.float32) / np.float32(np.sqrt(dims))
    scratch = _Scratch(
        np.empty((len(HEADS), offers), np.float32),
        np.empty((len(HEADS), offers), np.float32),
        np.empty((1, offers)),
        np.empty(1, np.int64),
        np.empty(1),
    )
    mask, packed = np.ones(offers, np.bool_), np.zeros(dims * (dims + 1) // 2)
    phi, row = users[0], users[0, 0]
    mean, deviation = rng.normal(0.1, 0.03, offers), rng.uniform(0.01, 0.05, offers)

    def batch() -> None:
        for user in range(USERS):
            _decide(users[user], posterior, mask, user, scratch)

    batch()
    return {
        "decide_us": _median_us(lambda: _decide(phi, posterior, mask, 1, scratch)),
        "update_us": _median_us(lambda: symmetric.add_outer(packed, row, 1.0)),
        "pmf_us": _median_us(lambda: argmax_pmf(mean, deviation, mask, 0.005, scratch.pmf[0])),
        "scores_us": _median_us(lambda: _score(phi, posterior, scratch)),
        "batch_users_per_s": USERS / median(_seconds(batch) for _ in range(BATCHES)),
    }


def _random_posterior(rng: np.random.Generator, dims: int) -> _Posterior:
    roots = rng.normal(size=(len(HEADS), dims, dims)) / dims
    covariances = roots @ roots.transpose(0, 2, 1) + 0.01 * np.eye(dims)
    return _Posterior(rng.normal(0.0, 0.1, (len(HEADS), dims)).astype(np.float32), covariances.astype(np.float32))


def _score(phi: F32, posterior: _Posterior, scratch: _Scratch) -> None:
    for head in range(len(HEADS)):
        linear.linear_scores(
            phi, posterior.means[head], posterior.covariances[head], scratch.means[head], scratch.variances[head]
        )


def _decide(phi: F32, posterior: _Posterior, mask: npt.NDArray[np.bool_], user: int, scratch: _Scratch) -> None:
    _score(phi, posterior, scratch)
    value = scratch.means.sum(axis=0, dtype=np.float64)
    deviation = np.sqrt(scratch.variances.sum(axis=0, dtype=np.float64))
    key = random.key_from_bytes(user.to_bytes(16, "big"))
    argmax_pmf(value, deviation, mask, 0.005, scratch.pmf[0])
    scratch.chosen[0] = draw.draw(scratch.pmf[0], random.uniform(key, 0))
    scratch.propensity[0] = scratch.pmf[0, scratch.chosen[0]]


def _median_us(call: Callable[[], None]) -> float:
    def calls() -> None:
        for _ in range(CALLS):
            call()

    calls()
    return 1e6 / CALLS * median(_seconds(calls) for _ in range(BATCHES))


def _seconds(run: Callable[[], None]) -> float:
    started = perf_counter()
    run()
    return perf_counter() - started
