"""Rounds from raw purchases: what each week knows, what it must not know, and what is earned in it."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from bandits import features
from bandits.population import Population
from service.cli import main
from service.replay import journey, journey_references, shopping
from service.replay.shopping import Shopping
from tests.unit import demo_world
from tests.unit.demo_world import seconds

LISTS = (
    (0, "2017-01-09T10:00", "bread milk"),
    (0, "2017-02-20T10:00", "bread"),
    (0, "2017-03-13T00:00", "tea"),  # week 0 begins
    (0, "2017-03-19T23:59", "milk"),
    (0, "2017-03-20T00:00", "bread milk"),  # week 1 begins
    (1, "2017-03-01T12:00", "bread tea"),
    (1, "2017-03-29T12:00", "tea"),
    (2, "2017-04-03T18:00", "soap"),
)


def year_of(lists: tuple[demo_world.Shopping, ...]) -> Shopping:
    return shopping.of_year(demo_world.baskets(3, lists), 1, 3)


def arms(year: Shopping) -> dict[str, int]:
    return {year.baskets.tag_names[tag]: arm for arm, tag in enumerate(year.tags.tolist())}


def test_arms_are_the_ranks_asked_for() -> None:
    baskets = demo_world.baskets(3, LISTS)
    ranked = shopping.of_year(baskets, 1, 4).tags.tolist()
    assert [baskets.tag_names[tag] for tag in ranked] == ["bread", "milk", "tea", "soap"]
    assert shopping.of_year(baskets, 2, 3).tags.tolist() == ranked[1:3]
    for first, last in ((0, 3), (3, 2), (2, 5)):
        with pytest.raises(ValueError, match=f"categories: {first}-{last} is not within 1-4"):
            shopping.of_year(baskets, first, last)


def test_a_week_knows_what_came_before_it() -> None:
    year = year_of(LISTS)
    arm = arms(year)
    assert year.bought_in[0, 0].tolist() == [name in {"tea", "milk"} for name in arm]
    assert year.bought_in[0, 1].tolist() == [name in {"bread", "milk"} for name in arm]
    assert not year.bought_in[0, 2].any()
    assert year.times_before[0, 0].tolist() == [{"bread": 2, "milk": 1, "tea": 0}[name] for name in arm]
    assert year.times_before[0, 1].tolist() == [{"bread": 2, "milk": 2, "tea": 1}[name] for name in arm]
    assert year.times_before[0, -1].tolist() == [{"bread": 3, "milk": 3, "tea": 1}[name] for name in arm]
    assert year.last_s[0, 1, arm["milk"]] == seconds("2017-03-19T23:59")
    assert year.last_s[1, 2, arm["tea"]] == seconds("2017-03-01T12:00")
    assert year.last_s[2, 0].tolist() == [0, 0, 0]


def test_popularity_is_of_all_baskets_before_the_week() -> None:
    year = year_of(LISTS)
    shares = [population.tag_shares().copy() for population in shopping.populations(year)]
    before = Population()
    for _, local, tags in sorted(LISTS, key=lambda one: one[1]):
        if local < "2017-03-20":
            before.bought([demo_world.TAGS.index(tag) for tag in tags.split()], -1, seconds(local))
    assert len(shares) == shopping.WEEKS
    assert shares[1] == pytest.approx(before.tag_shares())


def whole(lists: tuple[demo_world.Shopping, ...]) -> journey.Journey:
    return journey.draw(journey.ready(year_of(lists)), 3 * shopping.WEEKS, seed=4)


def test_every_household_week_once_and_week_by_week() -> None:
    drawn = whole(LISTS)
    assert np.all(np.diff(drawn.weeks) >= 0)
    assert len(set(zip(drawn.households.tolist(), drawn.weeks.tolist(), strict=True))) == 3 * shopping.WEEKS
    assert drawn.rounds.phi.shape == (3 * shopping.WEEKS, 3, features.DIMS)
    assert len({tuple(drawn.households[drawn.weeks == week].tolist()) for week in range(20)}) > 3
    year = journey.ready(year_of(LISTS))
    with pytest.raises(ValueError, match="rounds: 127 is not in 1 to 126"):
        journey.draw(year, 127, 0)
    part = journey.draw(year, 20, 0)
    assert not np.array_equal(part.households, journey.draw(year, 20, 1).households)
    assert np.array_equal(part.rounds.phi, journey.draw(year, 20, 0).rounds.phi)


def test_the_reward_is_what_is_bought_in_the_week() -> None:
    drawn = whole(LISTS)
    place = (drawn.households == 0) & (drawn.weeks == 0)
    assert drawn.rounds.reward[place][0].tolist() == year_of(LISTS).bought_in[0, 0].tolist()
    assert drawn.rounds.reward.sum() == 5  # soap is no arm


def test_features_of_a_week_know_nothing_of_what_comes_later() -> None:
    before, after = whole(LISTS), whole((*LISTS, (0, "2017-03-27T00:00", "bread milk soap tea")))
    assert np.array_equal(before.weeks, after.weeks)
    past = before.weeks <= 2
    assert np.array_equal(before.rounds.phi[past], after.rounds.phi[past])
    own = (before.weeks == 3) & (before.households == 0)
    assert not np.array_equal(before.rounds.phi[own], after.rounds.phi[own])


def test_usual_is_the_most_frequent_and_then_the_latest() -> None:
    year = year_of(LISTS)
    drawn = journey.draw(journey.ready(year), 3 * shopping.WEEKS, seed=4)
    chosen = journey_references.usual(drawn, year)
    arm = arms(year)
    for household, week, expected in ((0, 0, "bread"), (0, 1, "milk"), (1, 9, "tea")):
        place = int(np.flatnonzero((drawn.households == household) & (drawn.weeks == week))[0])
        assert chosen[place] == arm[expected], (household, week)


@pytest.mark.timeout(240)  # six seconds on a machine of its own
def test_the_real_year() -> None:
    """What the product believes before it has learned anything is worth having, and is made of purchases alone."""
    asked = ["replay", "journey", "--rounds", "600", "--categories", "41-90", "--json"]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["policy"], told["rounds"], told["arms"]) == ("default", 600, 50)
    assert told["mean_reward"] == told["first_1000"] == told["per_seed"][0]
    reached = {name: told[name]["mean_reward"] / told["supervised"]["mean_reward"] for name in ("usual", "best_static")}
    assert told["mean_reward"] > 0.9 * told["supervised"]["mean_reward"]
    assert 0.85 < reached["usual"] < 1.15
    assert told["uniform"]["mean_reward"] < told["best_static"]["mean_reward"]
    assert reached["best_static"] < 0.5
    assert {"supervised_5_fold", "supervised_contenders"} <= told.keys()
