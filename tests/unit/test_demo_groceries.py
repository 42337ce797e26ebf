"""The real data: its size, its deals, and that it is packed quickly."""

import csv
import io
import itertools
import time

import numpy as np
import pytest

from service.demo import deals, groceries, local_week, world
from service.demo.groceries import Baskets


@pytest.fixture(scope="module")
def year() -> Baskets:
    return groceries.load()


def test_the_whole_year_is_there_in_order(year: Baskets) -> None:
    assert len(year.household_ids) == 2469
    assert len(year.ids) == len(set(year.ids.tolist())) == 155_848
    assert len(set(year.tags.tolist())) == 302
    for household in range(0, 2469, 300):
        at_s = year.at_s[year.starts[household] : year.starts[household + 1]]
        assert np.all(np.diff(at_s) >= 0)
    # The trough lies at night, which shows that the clock is read rightly.
    by_hour = np.bincount(local_week.hours_of_week(year.at_s) % 24, minlength=24)
    assert by_hour[2:5].sum() < by_hour[16:19].sum() / 20


def test_loading_takes_a_moment() -> None:
    began = time.process_time()
    groceries.load()
    assert time.process_time() - began < 4.0


def test_a_part_of_the_households_keeps_its_baskets(year: Baskets) -> None:
    chosen = np.array([3, 500, 2468])
    part = year.of_households(chosen)
    for place, household in enumerate(chosen.tolist()):
        for column in ("ids", "at_s"):
            whole = getattr(year, column)[year.starts[household] : year.starts[household + 1]]
            assert np.array_equal(getattr(part, column)[part.starts[place] : part.starts[place + 1]], whole)
    basket = int(part.starts[2])
    same = int(np.flatnonzero(year.ids == part.ids[basket])[0])
    tags = part.tags[part.tag_starts[basket] : part.tag_starts[basket + 1]]
    assert np.array_equal(tags, year.tags[year.tag_starts[same] : year.tag_starts[same + 1]])


def test_a_hundred_deals_without_the_sensitive_ones(year: Baskets) -> None:
    chosen = deals.choose(year)
    names = [year.tag_names[deal.tag] for deal in chosen]
    assert len(set(names)) == len({deal.offer_id for deal in chosen}) == 100
    assert chosen[0].rank == 21
    assert not {"cigarettes", "beers/ales", "cold and flu", "diapers & disposables"} & set(names)
    bought = year.household_weeks()
    assert all(bought[one.tag] >= bought[next_.tag] for one, next_ in itertools.pairwise(chosen))
    rows = list(csv.DictReader(io.StringIO(deals.as_csv(chosen, year.tag_names).decode())))
    assert [row["tags"] for row in rows] == names


def test_the_salt_chooses_the_households(year: Baskets) -> None:
    ids = year.household_ids
    chosen = world.choose_households(ids, 500, "0")
    assert np.array_equal(chosen, world.choose_households(ids, 500, "0"))
    assert len(set(chosen.tolist())) == 500
    shared = set(chosen.tolist()) & set(world.choose_households(ids, 500, "1").tolist())
    assert len(shared) < 200
    assert set(world.choose_households(ids, 50, "0").tolist()) < set(chosen.tolist())
    assert len(world.choose_households(ids, 2469, "x")) == 2469
