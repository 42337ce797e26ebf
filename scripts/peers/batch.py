"""How long a whole audience takes: 100,000 people, 50 offers each, with all the cores there are."""

import os
from collections.abc import Callable
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from scripts.peers import library
from scripts.peers.interleaved import Time, Timed, measure
from scripts.peers.ours import NAME, Audience
from scripts.peers.peer import F32

USERS: Final = 100_000
OFFERS: Final = 50
USER_DIMS: Final = 32
CORES: Final = len(os.sched_getaffinity(0))
GEMM: Final = "float32 GEMM of as many products"
_GEMM_SIZE: Final = 1_536
_TRAINED_ON: Final = 5_000
_SEED: Final = 20_261_122


def measure_all(rounds: int) -> dict[str, Time]:
    """Times of one whole batch by name, ours first; the time of GEMM is scaled to the products our scores stand for."""
    users = np.random.default_rng(_SEED).normal(0.0, 1.0 / np.sqrt(USER_DIMS), (USERS, USER_DIMS)).astype(np.float32)
    audience = Audience(users, OFFERS)
    timed = [Timed(NAME, audience.call, 1), Timed(GEMM, _gemm(), 1)]
    if "contextualbandits" in library.installed():
        timed.append(Timed("contextualbandits LinUCB, no propensities", _contextualbandits(users), 1))
    times = measure(timed, rounds)
    scale = audience.products / _GEMM_SIZE**3
    times[GEMM] = Time(scale * times[GEMM].seconds, scale * times[GEMM].ratio)
    return times


def _gemm() -> Callable[[], object]:
    a = np.random.default_rng(_SEED).random((_GEMM_SIZE, _GEMM_SIZE), np.float32)
    out = np.empty_like(a)

    def call() -> None:
        with threadpool_limits(CORES):
            np.dot(a, a, out=out)

    return call


def _contextualbandits(users: F32) -> Callable[[], object]:
    from contextualbandits.online import LinUCB  # noqa: PLC0415 - only where it is installed

    rng = np.random.default_rng(_SEED)
    model = LinUCB(OFFERS, alpha=0.3, fit_intercept=False, random_state=1, njobs=CORES)
    seen = users[:_TRAINED_ON].astype(np.float64)
    model.fit(seen, rng.integers(0, OFFERS, _TRAINED_ON), (rng.random(_TRAINED_ON) < 0.1).astype(np.float64))
    everyone = users.astype(np.float64)
    return lambda: model.predict(everyone)
