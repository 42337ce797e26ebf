"""The Gaussian that the sums of the shared model compose to, at any instant.

With the sums H, E, R of each cohort c (bandits.sums), the share F_c of its rewards that could have come (bandits.delay) and independent
priors N(m0, P0^-1), the posterior of a head is N(m, S) with

    S^-1 = P0 + sum_c F_c H_c / s^2,    m = S (P0 m0 + sum_c (R_c - F_c E_c) / s^2),

s^2 the noise variance of the identity link and 1 for the logit. For the identity that is the ridge regression itself; for the logit one
Newton step from the epoch's mode, whose fixed point is Laplace's approximation. Of a step that goes far only a part is taken (bandits.step),
so that the objective is never worse than at the mode.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bandits import delay, event_time
from bandits import step as steps
from bandits.delay import CLOSED, WINDOWS_S, Telling
from bandits.epoch import Epoch, Extent
from bandits.kernels import symmetric
from bandits.laplace import NotAPosteriorError
from bandits.prior import Prior
from bandits.step import Ranges
from bandits.sums import Sums
from schema.snapshot import HEADS

F64 = npt.NDArray[np.float64]


class Posterior(NamedTuple):
    """N(mean, covariance) of one head; mean (d,) f64, covariance (d, d) f64, arrived (buckets,) the mean share of rewards told by an age, matured weight of the exposures.

    `reach` is the most that a whole step from the epoch's mode changes any eta by (0 for the identity link, where the step is exact).
    """

    mean: F64
    covariance: F64
    dispersion: float
    arrived: F64
    exposures: float
    reach: float


def extent(cohorts: Mapping[int, Sums], epoch: Epoch, now_s: float) -> Extent:
    """How much has been counted; matured by the head whose answers take longest."""
    shares = _shares(cohorts, epoch.tellings[WINDOWS_S.index(max(WINDOWS_S))], now_s)
    return Extent(
        sum(float(sums.totals[1]) for _, sums in sorted(cohorts.items())),
        sum(float(sums.answers.sum()) for _, sums in sorted(cohorts.items())),
        sum(float(sums.totals[1]) * shares[cohort] for cohort, sums in sorted(cohorts.items())),
    )


def compose(
    cohorts: Mapping[int, Sums], priors: Sequence[Prior], ranges: Ranges, epoch: Epoch, now_s: float
) -> list[Posterior]:
    """The posterior of every head from the sums of all partitions, by cohort, as of now_s; the features of every row lie in `ranges`.

    Raises:
        NotAPosteriorError: the result is not finite or not positive definite.
    """
    return [_head(head, cohorts, prior, ranges, epoch, now_s) for head, prior in enumerate(priors)]


def reach(posteriors: Sequence[Posterior]) -> float:
    """The greatest reach of a step from the epoch's mode to these means."""
    return max(posterior.reach for posterior in posteriors)


def _head(
    head: int, cohorts: Mapping[int, Sums], prior: Prior, ranges: Ranges, epoch: Epoch, now_s: float
) -> Posterior:
    dims = len(prior.mean)
    now_weight = event_time.decay_weight(now_s)
    shares = _shares(cohorts, epoch.tellings[head], now_s)
    outer, information, exposures = np.zeros(dims * (dims + 1) // 2), np.zeros(dims), 0.0
    for cohort in sorted(cohorts):  # a fixed order, so that the same sums give the same bits
        sums, share = cohorts[cohort], shares[cohort]
        outer += share * sums.outer[head]
        information += sums.response[head] - share * sums.expected[head]
        exposures += share * float(sums.totals[0])
    dispersion = float(epoch.dispersions[head])
    scale = 1.0 / (now_weight * (dispersion if epoch.link == "identity" else 1.0))
    seen = np.empty((dims, dims))
    symmetric.unpack(outer, seen)
    precision = np.diag(prior.precision) + scale * seen
    covariance = _inverse(precision, HEADS[head])
    mean = covariance @ (prior.precision * prior.mean + scale * information)
    if not all(np.isfinite(part).all() for part in (precision, mean, covariance)):
        raise NotAPosteriorError(f"head {HEADS[head]}: the posterior is not finite")
    reach = 0.0
    if epoch.link == "logit":
        mode = epoch.modes[head]
        reach = steps.reach(mean - mode, ranges)
        mean = mode + steps.share_taken(reach) * (mean - mode)
    arrived = _arrived(*(part.tobytes() for part in epoch.tellings[head]))
    return Posterior(mean, covariance, dispersion, arrived, exposures / now_weight, reach)


@lru_cache(maxsize=2 * len(HEADS))
def _arrived(rates: bytes, rhythm: bytes) -> F64:
    """The shares told by an age, which stay as they are through an epoch."""
    arrived = delay.shares_by_age(Telling(np.frombuffer(rates), np.frombuffer(rhythm)))
    arrived.flags.writeable = False
    return arrived


def _shares(cohorts: Mapping[int, Sums], telling: Telling, now_s: float) -> dict[int, float]:
    """F_h at the mean instant of each cohort's exposures."""
    young = [cohort for cohort in sorted(cohorts) if cohort != CLOSED]
    exposed_at_s = [delay.mean_exposed_s(cohort, *cohorts[cohort].totals[[0, 2]].tolist()) for cohort in young]
    found = delay.shares(telling, np.array(exposed_at_s), now_s).tolist()
    return {CLOSED: 1.0, **dict(zip(young, found, strict=True))}


def _inverse(precision: F64, name: str) -> F64:
    try:
        factor = np.linalg.cholesky(precision)
    except np.linalg.LinAlgError as error:
        raise NotAPosteriorError(f"head {name}: {error}") from error
    inverse_factor = np.linalg.inv(factor)
    covariance: F64 = inverse_factor.T @ inverse_factor
    return covariance
