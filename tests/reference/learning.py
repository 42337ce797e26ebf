"""What is learned of people and of the shared model once more, slow and obvious: every count is a sum over the facts themselves."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandits.event_time import HALF_LIFE_S
from bandits.kernels.tastes import BOUGHT_HALF_LIFE_S, INTEREST_HALF_LIFE_S, SHOWN_HALF_LIFE_S
from bandits.prior import Prior

F64 = NDArray[np.float64]


class TasteFact(NamedTuple):
    """kind is "bought", "interested" or "shown" (count 1); weight is that of an interest, negative for a dislike."""

    kind: str
    at_s: int
    tag_ids: tuple[int, ...]
    weight: float = 1.0


class TasteCounts(NamedTuple):
    """Counts as they weigh at one instant; the inner tuples are (bought, interest, shown, last bought at)."""

    baskets: float
    last_basket_s: int
    tags: Mapping[int, tuple[float, float, float, int]]


def faded(at_s: float, to_s: float, half_life_s: float) -> float:
    return 0.5 ** ((to_s - at_s) / half_life_s)


def tastes(facts: Sequence[TasteFact], to_s: float) -> TasteCounts:
    bought = [fact for fact in facts if fact.kind == "bought"]
    tags = {tag for fact in facts for tag in fact.tag_ids}

    def total(kind: str, tag: int, half_life_s: float) -> float:
        return sum(f.weight * faded(f.at_s, to_s, half_life_s) for f in facts if f.kind == kind and tag in f.tag_ids)

    return TasteCounts(
        sum(faded(fact.at_s, to_s, BOUGHT_HALF_LIFE_S) for fact in bought),
        max((fact.at_s for fact in bought), default=0),
        {
            tag: (
                total("bought", tag, BOUGHT_HALF_LIFE_S),
                total("interested", tag, INTEREST_HALF_LIFE_S),
                total("shown", tag, SHOWN_HALF_LIFE_S),
                max((fact.at_s for fact in bought if tag in fact.tag_ids), default=0),
            )
            for tag in tags
        },
    )


def ridge(phi: F64, reward: F64, at_s: F64, now_s: float, prior: Prior) -> tuple[F64, F64]:
    """Posterior mean and covariance of a weighted ridge regression over all rows at once."""
    weight = 0.5 ** ((now_s - at_s) / HALF_LIFE_S) / prior.dispersion
    precision = np.diag(prior.precision) + (phi * weight[:, None]).T @ phi
    information = prior.precision * prior.mean + (phi * weight[:, None]).T @ reward
    return np.linalg.solve(precision, information), np.linalg.inv(precision)


def told_share(rate: Callable[[float, float], float], exposed_h: float, now_h: float, last_h: float) -> float:
    """Share of what is told of an exposure by now, at rate(age, instant), to the minute; nothing is told at an age above last_h."""
    ages = (np.arange(60 * last_h) + 0.5) / 60.0
    at_age = np.array([rate(age, exposed_h + age) for age in ages.tolist()])
    return float(at_age[exposed_h + ages < now_h].sum() / at_age.sum())


def visits(facts: Iterable[tuple[int, int]], hours: int, to_s: float, half_life_s: float) -> F64:
    """facts are (hour, at_s)."""
    counted = np.zeros(hours)
    for hour, at_s in facts:
        counted[hour] += faded(at_s, to_s, half_life_s)
    return counted
