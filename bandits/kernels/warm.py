"""Call every kernel once, so that a process is ready before it takes its first request."""

import numpy as np

from bandits.kernels.draw import draw
from bandits.kernels.gate import gate_pmf, send_probability
from bandits.kernels.normal import cdf, pdf
from bandits.kernels.packed import ARMS
from bandits.kernels.pmf import argmax_pmf
from bandits.kernels.random import uniform
from bandits.kernels.scoring import predict, score_offers
from bandits.kernels.slate import draw_slate
from bandits.kernels.symmetric import add_outer, pack, unpack
from bandits.kernels.worth import deviation

_done: list[bool] = []


def is_warm() -> bool:
    """Whether `warm` has run in this process."""
    return bool(_done)


def warm() -> None:
    """Run each kernel on arrays of two arms; microseconds when the kernels were compiled at import, as they are."""
    _choose(np.array([0.0, 1.0]), np.array([1.0, 0.5]))
    _learn(np.ones((2, 3), np.float32))
    _done.append(True)


def _choose(mean: np.ndarray, sd: np.ndarray) -> None:
    mask, p = np.ones(2, np.bool_), np.empty(2)
    argmax_pmf(mean, sd, mask, 0.01, p)
    draw(p, uniform(1, 0))
    _draw(mean, mask)
    send_probability(pdf(0.0), cdf(0.0), 0.5, 0.01, False)
    gate_pmf(p, mean, sd, 0.5, 0.01, False, np.empty(2))


def _draw(value: np.ndarray, mask: np.ndarray) -> None:
    phi, worth, tags, none = (
        np.eye(2, dtype=np.float32),
        np.ones(1),
        np.zeros((2, 1), np.int16),
        np.zeros(0, np.float32),
    )
    eta, chance = np.empty((2, 1, ARMS), np.float32)
    whitened, own = np.empty((1, 2, ARMS), np.float32), np.empty(ARMS, np.float32)
    model = (phi[:1], phi[None], np.empty((0, 0), np.float32), none, np.empty((0, 0), np.float32), 0)
    score_offers(phi, *model, worth, np.zeros(2), True, eta, chance, whitened, value, own)
    chosen = np.empty(2, np.int64)
    scores = (value, whitened, eta, chance, worth, True)
    draw_slate(*scores, 0.2, 0.0, mask, tags, 1, 2, 0.01, 1, chosen, np.empty(2), np.empty((2, 2)))
    predict(eta, whitened, chosen, np.empty((2, 1, 2), np.float32))
    deviation(whitened, chance, worth, True, 0)


def _learn(phi: np.ndarray) -> None:
    packed, full = np.zeros(6), np.empty((3, 3))
    add_outer(packed, phi[0], 1.0)
    unpack(packed, full)
    pack(full, packed)
