"""How long the kernels take: one decision and one update as Python calls them, and a batch of users on all cores."""

import os
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.kernels import decide, packed, rank_one
from bandits.kernels.pmf import argmax_pmf
from bandits.learners import crowd

BATCHES: Final = 30
CALLS: Final = 200
USERS: Final = 100_000
CROWDS: Final = 5
OFFER_FEATURES_MAX: Final = 4
GEMM_SIZE: Final = 1_536
SCALE: Final = 0.2  # the shipped default of Thompson
FLOOR: Final = 0.002
SEED: Final = 20_260_302

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


class _Posterior(NamedTuple):
    """A random posterior of d weights: mean (d,), covariance (d, d), and both in tiles and packed."""

    mean: F64
    covariance: F64
    tiles: F64
    packed: F32


def kernels(offers: int, dims: int) -> dict[str, float]:
    """Medians over batches of calls, in microseconds, and users a second.

    decide_us: scores at full covariance, the exact pmf relative to the best offer, the draw: one call. update_us: one row of the
    logistic head, linearised at its mode, into the posterior (Sherman-Morrison), which is then ready for the next decision. scores_us, pmf_us: means and deviations alone, and the pmf
    of independent scores alone. batch_users_per_s: one thread; the other figures of the batch: all cores.

    gemm_gflops is what float32 GEMM reaches on all cores, and batch_percent_of_gemm the time which a GEMM of that rate would take for the
    scores alone (d (d + 1) / 2 + d multiply-adds for each user and offer) in percent of that of the whole batch with pmf, draw and propensity.
    The batch contracts with the user first, so it does less arithmetic for the scores than that, and more for the pmf.
    """
    rng = np.random.default_rng(SEED)
    posterior = _random_posterior(rng, dims)
    return _one_by_one(rng, posterior, offers, dims) | _batch(rng, posterior, offers, dims)


def _random_posterior(rng: np.random.Generator, dims: int) -> _Posterior:
    root = rng.normal(size=(dims, dims)) / dims
    mean, covariance = rng.normal(0.0, 0.1, dims), root @ root.T + 0.01 * np.eye(dims)
    tiles, ready = np.empty(packed.packed_size(dims)), np.empty(packed.packed_size(dims), np.float32)
    packed.pack_posterior(mean, covariance, tiles, ready)
    return _Posterior(mean, covariance, tiles, ready)


def _one_by_one(rng: np.random.Generator, posterior: _Posterior, offers: int, dims: int) -> dict[str, float]:
    phi = rng.random((offers, dims), np.float32) / np.float32(np.sqrt(dims))
    mask, pmf, row = np.ones(offers, np.bool_), np.empty(offers), phi[0]
    mean, sd = np.empty(offers, np.float32), np.empty(offers, np.float32)
    means, deviations = rng.normal(0.1, 0.03, offers), rng.uniform(0.01, 0.05, offers)
    learned, mode = (posterior.tiles.copy(), posterior.packed.copy()), posterior.mean
    return {
        "decide_us": _median_us(lambda: decide.decide(phi, mask, posterior.packed, SCALE, FLOOR, 1, pmf)),
        "update_us": _median_us(lambda: rank_one.learn_row(True, mode, row, 0.0, *learned)),
        "pmf_us": _median_us(lambda: argmax_pmf(means, deviations, mask, FLOOR, pmf)),
        "scores_us": _median_us(lambda: decide.scores(phi, posterior.packed, mean, sd)),
    }


def _batch(rng: np.random.Generator, posterior: _Posterior, offers: int, dims: int) -> dict[str, float]:
    of_offer = next(size for size in range(OFFER_FEATURES_MAX, 0, -1) if dims % size == 0)
    of_user = dims // of_offer
    catalogue = rng.random((offers, of_offer), np.float32) / np.float32(np.sqrt(of_offer))
    users = rng.random((USERS, of_user), np.float32) / np.float32(np.sqrt(of_user))
    ready = crowd.contraction(posterior.mean, posterior.covariance, catalogue)
    mask, keys = np.ones((USERS, offers), np.bool_), np.arange(USERS, dtype=np.uint64)

    def run(threads: int | None) -> None:
        crowd.decide(ready, users, mask, keys, scale=SCALE, floor=FLOOR, threads=threads)

    run(None)
    alone, together, gflops = [], [], []
    for _ in range(CROWDS):  # in turns, so that what else the machine does falls on all alike
        alone.append(_seconds(lambda: run(1)))
        together.append(_seconds(lambda: run(None)))
        gflops.append(_gemm_gflops(rng))
    seconds, rate = median(together), median(gflops)
    products = USERS * offers * (dims * (dims + 1) // 2 + dims)
    return {
        "batch_users_per_s": USERS / median(alone),
        "batch_all_cores_users_per_s": USERS / seconds,
        "batch_ms": 1e3 * seconds,
        "batch_cores": float(len(os.sched_getaffinity(0))),
        "gemm_gflops": rate,
        "batch_percent_of_gemm": 2e-7 * products / rate / seconds,
    }


def _gemm_gflops(rng: np.random.Generator) -> float:
    a = rng.random((GEMM_SIZE, GEMM_SIZE), np.float32)
    out = np.empty_like(a)
    return 2e-9 * GEMM_SIZE**3 / min(_seconds(lambda: np.dot(a, a, out=out)) for _ in range(3))


def _median_us(call: Callable[[], object]) -> float:
    def calls() -> None:
        for _ in range(CALLS):
            call()

    calls()
    return 1e6 / CALLS * median(_seconds(calls) for _ in range(BATCHES))


def _seconds(run: Callable[[], object]) -> float:
    started = perf_counter()
    run()
    return perf_counter() - started
