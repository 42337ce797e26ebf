"""An epoch: the point at which the sums are linearised, the same for every partition; and when a new one is due.

It is due when there is a good deal more to be fitted, and when what was counted since leads so far from the old mode that a step must be held back.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits import delay
from bandits.delay import WINDOWS_S, Telling
from bandits.prior import Prior
from bandits.step import WHOLE_UP_TO
from schema.snapshot import Link

F64 = npt.NDArray[np.float64]

EARLY_ROWS: Final = 200
"""With fewer rows than this a linearisation at an old mode overshoots: any news is a reason to refit."""

EARLY_EXPOSURES_MAX: Final = 20_000
"""But not when a great many exposures have had no time to be answered: a refit reads them all."""

GROWTH: Final = 0.25
"""After that a refit is due when the rows grew by this share (from 0 to 300 % earn the same: docs/decisions/0004)."""


AGE_MAX_S: Final = 30 * 86400.0
"""After that any news is: what has become too old to be counted leaves the sums with a refit only."""


class Epoch(NamedTuple):
    """modes (heads, d) and dispersions (heads,): noise variance of the identity link, scatter of the logit in units of p(1 - p); by head when answers are told."""

    number: int
    link: Link
    modes: F64
    dispersions: F64
    tellings: tuple[Telling, ...]


class Extent(NamedTuple):
    """How much was counted: exposures, the decayed weight of their answers, and exposures as far as their answers could have come."""

    exposures: float
    answers: float
    matured: float


NOTHING: Final = Extent(0.0, 0.0, 0.0)

UNKNOWN: Final = Extent(-1.0, -1.0, -1.0)
"""Of an epoch whose sums were not made of the log: whatever is in the log is news to it."""


def begin(priors: Sequence[Prior], link: Link, number: int = 0) -> Epoch:
    """The epoch before any refit: linearised at the prior means."""
    return Epoch(
        number,
        link,
        np.stack([prior.mean for prior in priors]),
        np.array([prior.dispersion for prior in priors]),
        tuple(delay.unknown(window_s) for window_s in WINDOWS_S),
    )


def is_due(now: Extent, fitted: Extent, reach: float, age_s: float) -> bool:
    """Whether a refit is due, given what had been counted at the last one, the greatest reach of a step from there and how long ago that was."""
    is_early = now.matured < EARLY_ROWS and now.exposures <= EARLY_EXPOSURES_MAX
    if is_early or reach > WHOLE_UP_TO or age_s >= AGE_MAX_S:
        return _has_news(now, fitted)
    return now.matured >= max((1.0 + GROWTH) * fitted.matured, EARLY_ROWS)


def _has_news(now: Extent, fitted: Extent) -> bool:
    # Sums are rounded, in another order each time.
    is_same = np.allclose(now[:2], fitted[:2], rtol=1e-9, atol=1e-9)
    return not is_same or now.matured >= fitted.matured + 1.0
