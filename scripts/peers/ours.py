"""Our own side of the comparison: the kernels as a caller in Python has them."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from bandits.kernels.decide import decide
from bandits.kernels.packed import pack_posterior, packed_size
from bandits.kernels.rank_one import learn_row
from bandits.learners import crowd
from scripts.peers.peer import F32

NAME: Final = "welltimed"
SCALE: Final = 0.2
FLOOR: Final = 0.002
OFFER_DIMS: Final = 4
_SEED: Final = 20_261_122


class OneByOne:
    """The shared model at full covariance: a decision with its exact pmf and the draw, and one more row of the logistic head, ready for the next decision."""

    def __init__(self, contexts: F32) -> None:
        dims = contexts.shape[2]
        self._contexts = contexts
        self._mode = np.zeros(dims)
        self._tiles, self._posterior = np.empty(packed_size(dims)), np.empty(packed_size(dims), np.float32)
        pack_posterior(self._mode, np.eye(dims), self._tiles, self._posterior)
        for number, phi in enumerate(contexts):
            learn_row(True, self._mode, phi[0], float(number % 10 == 0), self._tiles, self._posterior)

    def calls(self) -> Iterator[tuple[str, str, Callable[[], object], int]]:
        """Name, "decide" or "update", what is called, how often in a row."""
        phi, posterior = self._contexts[0], self._posterior
        mask, pmf = np.ones(len(phi), np.bool_), np.empty(len(phi))
        yield NAME, "decide", lambda: decide(phi, mask, posterior, SCALE, FLOOR, 7, pmf), 300
        learned, mode, row = (self._tiles.copy(), posterior.copy()), self._mode, phi[1]
        yield NAME, "update", lambda: learn_row(True, mode, row, 0.0, *learned), 600


class Audience:
    """A shared model over (user x offer): the pmf, the draw and its propensity for everyone, on all cores."""

    def __init__(self, users: F32, offers: int) -> None:
        rng = np.random.default_rng(_SEED)
        self._users = np.ascontiguousarray(users[:, : users.shape[1] // OFFER_DIMS])
        dims = self._users.shape[1] * OFFER_DIMS
        catalogue = rng.normal(0.0, 1.0 / np.sqrt(OFFER_DIMS), (offers, OFFER_DIMS)).astype(np.float32)
        root = rng.normal(size=(dims, dims)) / dims
        self._ready = crowd.contraction(rng.normal(0.0, 0.1, dims), root @ root.T + 0.01 * np.eye(dims), catalogue)
        self._mask = np.ones((len(users), offers), np.bool_)
        self._keys = np.arange(len(users), dtype=np.uint64)
        self.products = len(users) * offers * (dims * (dims + 1) // 2 + dims)
        """Multiply-adds of the scores of everyone, mean and quadratic form, had phi been made."""

    def call(self) -> object:
        """Everyone once."""
        return crowd.decide(self._ready, self._users, self._mask, self._keys, scale=SCALE, floor=FLOOR)
