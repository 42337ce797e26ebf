import numpy as np
import pytest

from bandits.simulation import purchases, truth
from bandits.simulation.life import NEVER, Life
from bandits.simulation.week import BEGIN_S, DAY_S, HOUR_S, WEEK_S, Span, hour_of_week
from bandits.simulation.world import WINDOW_S, World
from bandits.simulation.worlds import diet_switch, life_stage, night_shift, persuadables
from bandits.simulation.worlds.all_worlds import WORLDS

SMALL = 0.2
AT_S = BEGIN_S + 2 * WEEK_S + 10.3 * HOUR_S


@pytest.mark.parametrize("name", WORLDS)
def test_a_world_is_a_function_of_its_seed(name: str) -> None:
    first, again, other = (WORLDS[name].build(seed, SMALL) for seed in (3, 3, 4))
    for column in first.people._fields[1:]:
        assert np.array_equal(getattr(first.people, column), getattr(again.people, column))
    assert not np.array_equal(first.people.tastes, other.people.tastes)
    one, same = purchases.baskets(first, 0), purchases.baskets(again, 0)
    assert np.array_equal(one.at_s, same.at_s)
    assert np.array_equal(one.has, same.has)


@pytest.mark.parametrize("name", WORLDS)
def test_people_are_what_people_can_be(name: str) -> None:
    people = WORLDS[name].build(0, SMALL).people
    assert people.hours.sum(axis=1) == pytest.approx(1.0)
    for chance in (people.tastes, people.later_tastes, people.persuasion, people.annoyance, people.tiring, people.veto):
        assert ((chance >= 0.0) & (chance < 1.0)).all()
    awake_hours = people.is_awake.sum(axis=1) / 7
    assert ((awake_hours > 14) & (awake_hours < 18)).all()
    assert (people.hours[~people.is_awake] == 0.0).all()  # nobody shops asleep


def test_a_span_covers_its_hours_once() -> None:
    span = Span(AT_S, AT_S + WINDOW_S)
    assert span.part.sum() == pytest.approx(72.0)
    assert span.part[0] == pytest.approx(0.7)
    assert [hour_of_week(begin_s) for begin_s in span.begins_s] == span.hours.tolist()


def alike(world: World, count: int) -> World:
    """`count` copies of the first person, so that frequencies over people are those of one."""
    fields = {name: np.repeat(getattr(world.people, name)[:1], count, axis=0) for name in world.people._fields[1:]}
    return world._replace(people=world.people._replace(**fields))


CHANGING = diet_switch.build(0, SMALL)
LATE_S = float(CHANGING.people.changes_at_s[0]) - DAY_S


@pytest.mark.parametrize(
    ("world", "at_s"),
    [
        (night_shift.build(0, SMALL), AT_S),
        (CHANGING, LATE_S),
        (life_stage.build(0, SMALL), float(life_stage.build(0, SMALL).people.changes_at_s[0]) + WEEK_S),
    ],
    ids=["night worker", "in the middle of the switch", "while the child grows"],
)
def test_what_is_bought_is_what_the_closed_form_says(world: World, at_s: float) -> None:
    world = alike(world._replace(ends_s=at_s + WINDOW_S + DAY_S), 400)
    expected = truth.expected_purchases(world.people, np.array([0]), at_s)[0]
    bought = np.zeros(expected.shape)
    for person in range(world.size):
        own = purchases.baskets(world, person)
        bought += own.has[(own.at_s > at_s) & (own.at_s <= at_s + WINDOW_S)].sum(axis=0)
    error = np.sqrt(expected / world.size) + 1e-9
    assert (np.abs(bought / world.size - expected) < 4.5 * error + 0.002).all()


@pytest.mark.parametrize("kind", ["persuadable", "sure_thing", "do_not_disturb"])
@pytest.mark.parametrize("hour", [3, 14])
def test_what_is_sent_does_what_the_closed_form_says(kind: str, hour: int) -> None:
    full = persuadables.build(0, SMALL)
    person = int(full.people.of_kind(kind)[0])
    fields = {name: getattr(full.people, name)[person : person + 1] for name in full.people._fields[1:]}
    at_s = BEGIN_S + WEEK_S + hour * HOUR_S
    world = alike(full._replace(people=full.people._replace(**fields), ends_s=at_s + WINDOW_S + DAY_S), 1500)
    thing = int(world.people.persuasion[0].argmax() if kind == "persuadable" else world.people.tastes[0].argmax())
    chance = truth.chances(world, np.array([0]), at_s, np.ones(1))
    silent, pushed = Life(world), Life(world)
    alone = np.array([silent.alone(one, thing, at_s) < NEVER for one in range(world.size)])
    answers = [pushed.send(one, thing, at_s, 0) for one in range(world.size)]
    found = (
        alone.mean(),
        np.mean([answer.bought_s < NEVER for answer in answers]),
        np.mean([answer.redeemed_s < NEVER for answer in answers]),
    )
    for frequency, true in zip(found, chance, strict=True):
        p = float(true[0, thing])
        assert abs(frequency - p) < 4.0 * np.sqrt(p * (1.0 - p) / world.size) + 1e-6
    assert all(at_s < answer.bought_s <= at_s + WINDOW_S for answer in answers if answer.bought_s < NEVER)
    assert all(answer.extra_s in {NEVER, answer.bought_s} for answer in answers)


def test_pushes_tire_and_rest_restores() -> None:
    life, one = Life(persuadables.build(0, SMALL)), np.array([0])
    at_s = BEGIN_S + WEEK_S
    assert life.receptivity(one, at_s)[0] == 1.0
    tired = []
    for day in range(5):
        life.send(0, 0, at_s + day * DAY_S, day)
        tired.append(life.receptivity(one, at_s + day * DAY_S)[0])
    assert tired == sorted(tired, reverse=True)
    assert tired[-1] < 0.75
    assert life.receptivity(one, at_s + 200 * DAY_S)[0] > 0.99
