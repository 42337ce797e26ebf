"""Sums over exposures, linearised at the mode of an epoch: all that the shared model needs to know of the log between two refits.

Head h expects g(eta) of row i, eta = phi . w + o, which at the epoch's mode m is close to g(eta_m) + g'(eta_m) phi . (w - m). With event-time
decay d the sums over rows are

    H_h = sum d g'(eta_m) phi phi',   E_h = sum d (g(eta_m) - g'(eta_m) phi . m) phi,   R_h = sum d y phi,

so that E_h + H_h w is what is expected of the rows in all and R_h what came. They are additive: over rows in any order, partitions and
learners, and a row that is taken back leaves nothing behind. For the identity link E_h holds the offsets alone.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits import delay, event_time
from bandits.epoch import Epoch
from bandits.kernels import rows as kernels
from schema.snapshot import HEADS

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

OFFSET_HEAD: Final = HEADS.index("redeem")
"""The personal part of a score belongs to this head; the others have no offset."""


class Rows(NamedTuple):
    """Exposures and answers to be counted, n of them.

    phi (n, d); exposed_at_s (n,) in seconds since 1970; offset (n,), the personal part logged with the decision; shown (n,): 1, -1 for an
    exposure taken back, 0 for news of its answers alone; answered (n, heads): 1, -1 or 0 for a reward of the head; age_s (n, heads), the time
    from the exposure until the reward was told, where answered is not 0.
    """

    phi: F32
    exposed_at_s: F64
    offset: F32
    shown: F64
    answered: F64
    age_s: F64


class Row(NamedTuple):
    """One of `Rows`; phi is (d,)."""

    phi: F32
    exposed_at_s: float
    offset: float
    shown: float = 0.0
    answered: tuple[float, ...] = (0.0,) * len(HEADS)
    age_s: tuple[float, ...] = (0.0,) * len(HEADS)


def stack(rows: Sequence[Row]) -> Rows:
    """Rows told one by one, at least one."""
    return Rows(
        np.stack([row.phi for row in rows]),
        np.array([row.exposed_at_s for row in rows]),
        np.array([row.offset for row in rows], np.float32),
        np.array([row.shown for row in rows]),
        np.array([row.answered for row in rows]),
        np.array([row.age_s for row in rows]),
    )


def taken_back(rows: Rows) -> Rows:
    """The rows that undo these."""
    return rows._replace(shown=-rows.shown, answered=-rows.answered)


class Sums:
    """Sums over the exposures of one cohort of one partition, all float64.

    outer is (heads, d (d + 1) / 2), packed; expected and response (heads, d); totals (3,) the weight of the exposures, their
    number, and weight times seconds since the beginning of the block (bandits.delay); answers (heads,), the weight of the rewards.
    """

    __slots__ = ("_all", "answers", "expected", "outer", "response", "totals")

    def __init__(self, dims: int) -> None:
        heads, packed = len(HEADS), dims * (dims + 1) // 2
        shapes = ((heads, packed), (heads, dims), (heads, dims), (3,), (heads,))
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        self._all: F64 = np.zeros(ends[-1])
        parts = np.split(self._all, ends[:-1])
        self.outer, self.expected, self.response, self.totals, self.answers = (
            part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)
        )

    def add(self, other: "Sums") -> None:
        """Adds the sums of another cohort or partition, made in the same epoch."""
        self._all += other._all  # noqa: SLF001 - of the same class

    def pack(self) -> bytes:
        """As little-endian float64, in the order of the class's docstring."""
        return self._all.astype("<f8", copy=False).tobytes()

    def add_packed(self, data: bytes) -> None:
        """Adds what `pack` wrote.

        Raises:
            ValueError: the length is not that of sums over as many features.
        """
        if len(data) != self._all.nbytes:
            raise ValueError(f"{len(data)} bytes are not the sums of {self.expected.shape[1]} features")
        self._all += np.frombuffer(data, "<f8")


def unpack(data: bytes, dims: int) -> Sums:
    """Reads what `pack` wrote.

    Raises:
        ValueError: the length is not that of sums over `dims` features.
    """
    sums = Sums(dims)
    sums.add_packed(data)
    return sums


def count(rows: Rows, epoch: Epoch) -> Sums:
    """The sums of these rows."""
    return Ledger(1, rows.phi.shape[1], epoch).add(rows, np.zeros(len(rows.phi), np.int64)).sums(0)


class Ledger:
    """Sums of several groups of rows at once."""

    def __init__(self, groups: int, dims: int, epoch: Epoch) -> None:
        heads = len(HEADS)
        self._epoch = epoch
        self._outer = np.zeros((heads, groups, dims * (dims + 1) // 2))
        self._expected = np.zeros((heads, groups, dims))
        self._response = np.zeros((heads, groups, dims))
        self._totals = np.zeros((groups, 3))
        self._answers = np.zeros((heads, groups))

    def add(self, rows: Rows, group: I64) -> "Ledger":
        """Counts rows, each in its group (n,); gives itself."""
        weight = event_time.decay_weights(rows.exposed_at_s)
        shown = weight * rows.shown
        totals = np.stack([shown, rows.shown, shown * delay.since_block_s(rows.exposed_at_s)], axis=1)
        np.add.at(self._totals, group, totals)
        is_logit = self._epoch.link == "logit"
        for head in range(len(HEADS)):
            offset = offset_of(rows, head)
            sums = (self._outer[head], self._expected[head])
            kernels.linearise_rows(is_logit, rows.phi, offset, shown, self._epoch.modes[head], group, *sums)
            came = np.flatnonzero(rows.answered[:, head])
            worth = weight[came] * rows.answered[came, head]
            np.add.at(self._response[head], group[came], worth[:, None] * rows.phi[came].astype(np.float64))
            np.add.at(self._answers[head], group[came], worth)
        return self

    def sums(self, group: int) -> Sums:
        """The sums of one group."""
        sums = Sums(self._expected.shape[2])
        sums.outer[...] = self._outer[:, group]
        sums.expected[...] = self._expected[:, group]
        sums.response[...] = self._response[:, group]
        sums.totals[...] = self._totals[group]
        sums.answers[...] = self._answers[:, group]
        return sums


def offset_of(rows: Rows, head: int) -> F32:
    """The rows' offsets as head `head` sees them, (n,)."""
    return rows.offset if head == OFFSET_HEAD else np.zeros_like(rows.offset)
