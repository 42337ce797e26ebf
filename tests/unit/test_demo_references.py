"""The reference policies of the demo on worlds whose answers can be counted by hand."""

import numpy as np

from service.demo import local_week, references
from service.demo.world import World
from tests.unit.demo_world import MILK, SOAP, TEA, seconds, world

# Household 0 shops soap on Tuesday mornings, 1 milk on Friday evenings (and more often); 2 is never seen before it is pushed.
HISTORY = [
    (0, "2017-02-28T09:10:00", "soap bread"),
    (0, "2017-03-07T13:50:00", "soap"),
    (1, "2017-02-24T17:10:00", "milk"),
    (1, "2017-03-03T18:10:00", "milk tea"),
    (1, "2017-03-10T19:10:00", "milk"),
]
LATER = [
    (0, "2017-03-14T09:30:00", "tea"),
    (0, "2017-03-16T08:00:00", "tea"),
    (0, "2017-03-17T08:00:00", "tea"),
    (2, "2017-03-18T08:00:00", "bread"),
]


def local_hour(small: World, at_s: np.ndarray) -> list[tuple[int, int]]:
    hours = local_week.hours_of_week(at_s)
    return [divmod(int(hour), 24) for hour in hours]


def test_usual_sends_the_households_own_deal_at_its_own_most_frequent_hour() -> None:
    evening = (1, "2017-02-25T17:20:00", "milk")
    chosen = references.usual(world(3, 2, [*HISTORY, evening, (1, "2017-03-11T17:50:00", "milk")]))
    # Once each: 09:10 and 13:50 on Tuesdays, of which nobody else decides. Twice: Saturdays at 17.
    assert local_hour(world(3, 2, []), chosen.at_s[0])[0] == (1, 9)
    assert local_hour(world(3, 2, []), chosen.at_s[1])[0] == (5, 17)
    assert chosen.deals[:2, 0].tolist() == [SOAP, MILK]


def test_usual_six_hours_sends_in_the_six_hours_that_hold_most() -> None:
    chosen = references.usual_six_hours(world(3, 2, HISTORY + LATER))
    # From 08:00 on [h, h + 6) holds both Tuesday baskets, of 09:10 and 13:50; the first such hour wins among equals.
    assert local_hour(world(3, 2, []), chosen.at_s[0])[0] == (1, 8)
    assert chosen.deals[0].tolist() == [SOAP, TEA]  # by the second week there are three baskets with tea
    # 17:10, 18:10 and 19:10 lie in the six hours from 14:00 to 17:00.
    assert local_hour(world(3, 2, []), chosen.at_s[1]) == [(4, 14), (4, 14)]
    assert chosen.deals[1].tolist() == [MILK, MILK]


def test_a_newcomer_gets_what_is_popular() -> None:
    small = world(3, 2, HISTORY + LATER)
    usual, popular = references.usual_six_hours(small), references.popular(small)
    assert usual.at_s[2, 0] == popular.at_s[2, 0]
    assert usual.deals[2, 0] == references.usual(small).deals[2, 0] == MILK  # the best-seller when the week began


def test_popular_is_the_same_for_everyone_and_counts_up_to_its_own_moment() -> None:
    popular = references.popular(world(3, 2, HISTORY + LATER))
    assert np.all(popular.at_s == popular.at_s[0])
    assert popular.at_s[0, 0] == seconds("2017-03-17T14:00:00")
    # Milk 3, soap 2, and tea 1 + 3 before Friday 14:00.
    assert popular.deals[0, 0] == TEA
    earlier = references.popular(world(3, 2, HISTORY))
    assert earlier.deals[0, 0] == MILK


def test_the_future_changes_nothing() -> None:
    """Whatever happens after a push leaves the choice of that push and of all before it as it was."""
    draw = np.random.default_rng(5)
    shopping = [
        (
            int(draw.integers(4)),
            f"2017-{month:02d}-{day:02d}T{draw.integers(24):02d}:15:00",
            str(draw.choice(["milk", "soap", "tea"])),
        )
        for month in (2, 3)
        for day in range(1, 29)
        for _ in range(3)
    ]
    whole = world(4, 3, shopping)
    for choose in (references.usual, references.usual_six_hours, references.popular):
        chosen = choose(whole)
        for week in range(3):
            for household in range(4):
                moment_s = int(chosen.at_s[household, week])
                known = choose(world(4, 3, [one for one in shopping if seconds(one[1]) < moment_s]))
                assert known.deals[household, week] == chosen.deals[household, week]
                assert known.at_s[household, week] == moment_s


def test_random_takes_every_hour_and_deal_and_is_repeatable() -> None:
    small = world(300, 4, [])
    chosen, again, other = references.random(small, 1), references.random(small, 1), references.random(small, 2)
    assert np.array_equal(chosen.at_s, again.at_s)
    assert not np.array_equal(chosen.at_s, other.at_s)
    assert set(chosen.deals.ravel().tolist()) == {MILK, SOAP, TEA}
    hours = local_week.hours_of_week(chosen.at_s)
    assert len(set(hours.ravel().tolist())) == 168
    assert np.array_equal(local_week.weeks_of(chosen.at_s), np.broadcast_to(np.arange(4), (300, 4)))
