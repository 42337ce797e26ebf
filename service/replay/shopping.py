"""The grocery year by household and week: what was bought before a week and in it, and what people bought in general."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.population import Population
from service.demo import local_week
from service.demo.groceries import Baskets

Ints = npt.NDArray[np.int64]

WEEKS: Final = local_week.WEEKS_MAX


class Shopping(NamedTuple):
    """The year and the categories that are the arms.

    Attributes:
        baskets: of every household.
        tags: (arms,) index into baskets.tag_names, by rank.
        week_of: (baskets,) decision week, negative in the history.
        begins_s: (WEEKS,) when each week begins, Unix seconds.
        bought_in: (households, WEEKS, arms) whether a basket of that week holds the category.
        times_before: (households, WEEKS, arms) baskets before that week with the category.
        last_s: (households, WEEKS, arms) when the latest of them was rung up, 0 for never.
    """

    baskets: Baskets
    tags: Ints
    week_of: Ints
    begins_s: Ints
    bought_in: npt.NDArray[np.bool_]
    times_before: npt.NDArray[np.int16]
    last_s: Ints


def of_year(year: Baskets, first_rank: int, last_rank: int) -> Shopping:
    """Arms are the categories of these ranks by household-weeks, 1 the most bought, both ends included.

    Raises:
        ValueError: there are no such ranks.
    """
    if not 1 <= first_rank <= last_rank <= len(year.tag_names):
        raise ValueError(f"categories: {first_rank}-{last_rank} is not within 1-{len(year.tag_names)}")
    tags = np.argsort(-year.household_weeks(), kind="stable")[first_rank - 1 : last_rank]
    week_of = local_week.weeks_of(year.at_s)
    basket, arm = _with_arm(year, tags)
    home, week = year.homes()[basket], week_of[basket]
    shape = (len(year.household_ids), WEEKS + 1, len(tags))
    counts, last_s = np.zeros(shape, np.int16), np.zeros(shape, np.int64)
    known_from = np.maximum(week + 1, 0)
    np.add.at(counts, (home, known_from, arm), 1)
    np.maximum.at(last_s, (home, known_from, arm), year.at_s[basket])
    bought_in = np.zeros(shape, np.bool_)
    is_decided = week >= 0
    bought_in[home[is_decided], week[is_decided], arm[is_decided]] = True
    return Shopping(
        year,
        tags,
        week_of,
        local_week.instants(WEEKS)[:WEEKS, 0],
        bought_in[:, :WEEKS],
        np.cumsum(counts, axis=1, dtype=np.int16)[:, :WEEKS],
        np.maximum.accumulate(last_s, axis=1)[:, :WEEKS],
    )


def _with_arm(year: Baskets, tags: Ints) -> tuple[Ints, Ints]:
    """Pairs of basket and arm whose category it holds."""
    arm_of_tag = np.full(len(year.tag_names), -1, np.int64)
    arm_of_tag[tags] = np.arange(len(tags))
    basket = np.repeat(np.arange(len(year.ids)), np.diff(year.tag_starts))
    arm = arm_of_tag[year.tags]
    return basket[arm >= 0], arm[arm >= 0]


def populations(shopping: Shopping) -> Iterator[Population]:
    """What all people have bought before each week: the same object, further filled."""
    year = shopping.baskets
    population = Population()
    order = np.argsort(year.at_s, kind="stable")
    ends = np.searchsorted(shopping.week_of[order], np.arange(WEEKS))
    begin = 0
    for end in ends.tolist():
        for basket in order[begin:end].tolist():
            items = year.tags[year.tag_starts[basket] : year.tag_starts[basket + 1]]
            population.bought(items.tolist(), -1, float(year.at_s[basket]))
        begin = end
        yield population
