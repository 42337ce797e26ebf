"""The next epoch of the shared model: every head's mode and dispersion, fitted to all exposures."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bandits import delay, dispersion, event_time, laplace
from bandits.delay import WINDOWS_S, Telling, Told
from bandits.epoch import Epoch
from bandits.laplace import Blocks, Design, NotAPosteriorError
from bandits.prior import Prior
from bandits.sums import Rows, offset_of
from schema.snapshot import HEADS

F64 = npt.NDArray[np.float64]

Passes = Callable[[], Iterable[Rows]]
"""Called once for each pass over all exposures; every pass must give the same rows."""


class Refitted(NamedTuple):
    """The new epoch, and for each head the objective at its mode and the Newton steps that led there."""

    epoch: Epoch
    objectives: tuple[float, ...]
    steps: tuple[int, ...]


def tellings(passes: Passes, visits: F64, now_s: float) -> tuple[Telling, ...]:
    """By head when answers are told, learned from all exposures and from the visits of each day of the week (7,), from Thursday."""
    counted = [delay.NOTHING for _ in HEADS]
    for rows in passes():
        weight = event_time.decay_weights(rows.exposed_at_s) / event_time.decay_weight(now_s)
        for head in range(len(HEADS)):
            came = np.flatnonzero(rows.answered[:, head])
            told = delay.told(rows.exposed_at_s[came], rows.age_s[came, head], weight[came], now_s)
            counted[head] = Told(*(one + other for one, other in zip(counted[head], told, strict=True)))
    return tuple(delay.learn(one, window_s, visits) for one, window_s in zip(counted, WINDOWS_S, strict=True))


def refit(
    passes: Passes, priors: Sequence[Prior], before: Epoch, starts: F64, told: tuple[Telling, ...], now_s: float
) -> Refitted:
    """Fits every head.

    Args:
        passes: all exposures, in blocks.
        priors: by head.
        before: the epoch in force.
        starts: (heads, d) weights to start from, unless the mode in force is better.
        told: by head, when answers are told.
        now_s: the instant as of which rows have decayed and ripened.

    Raises:
        NotAPosteriorError: a result is not finite, not positive definite, or worse than the mode in force.
    """
    fits = []
    dispersions = []
    for head, prior in enumerate(priors):
        blocks = blocks_of(passes, head, told[head], now_s)
        known = prior._replace(dispersion=float(before.dispersions[head]))
        fitted = _fit(blocks, known, before, head, starts[head])
        fits.append(fitted)
        dispersions.append(dispersion.estimate(blocks, prior, before.link, fitted.mode.w))
    modes = np.stack([fitted.mode.w for fitted in fits])
    if not np.isfinite(dispersions).all():
        raise NotAPosteriorError("a dispersion is not finite")
    return Refitted(
        Epoch(before.number + 1, before.link, modes, np.array(dispersions), told),
        tuple(fitted.mode.objective for fitted in fits),
        tuple(fitted.steps for fitted in fits),
    )


def blocks_of(passes: Passes, head: int, telling: Telling, now_s: float) -> Blocks:
    """The rows as one head sees them."""
    now_weight = event_time.decay_weight(now_s)

    def blocks() -> Iterator[Design]:
        for rows in passes():
            yield Design(
                rows.phi,
                offset_of(rows, head),
                event_time.decay_weights(rows.exposed_at_s) * rows.shown / now_weight,
                delay.shares(telling, rows.exposed_at_s, now_s),
                np.ascontiguousarray(rows.answered[:, head]),
            )

    return blocks


def _fit(blocks: Blocks, prior: Prior, before: Epoch, head: int, start: F64) -> laplace.Fit:
    in_force = laplace.evaluate(blocks, prior, before.link, before.modes[head])
    try:
        known = laplace.evaluate(blocks, prior, before.link, start)
    except NotAPosteriorError:
        known = in_force
    fitted = laplace.improve(blocks, prior, before.link, known if known.objective < in_force.objective else in_force)
    if not fitted.mode.objective <= in_force.objective:
        raise NotAPosteriorError(f"head {HEADS[head]}: the mode found is worse than the one in force")
    return fitted
