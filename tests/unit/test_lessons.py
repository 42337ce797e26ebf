"""Lessons of many people counted at once teach what they teach one by one."""

import numpy as np
import pytest

from bandits.kernels.tastes import CAPACITY
from bandits.lessons import Lessons
from bandits.tastes import Tastes, UnknownStateError, unpack

NOW_S = 1_790_000_000.0
PEOPLE = 9


@pytest.mark.parametrize("tags", [5, 60, 400])
def test_lessons_teach_as_one_by_one_whoever_is_taught_and_however_much(tags: int) -> None:
    draw = np.random.default_rng(tags)
    before = [_somebody(draw, tags, baskets) for baskets in (0, 0, 1, 5, 200, 3, 0, 90, 2)]
    one_by_one = {user_id: unpack(state) for user_id, state in enumerate(before)}
    at_once = Lessons()
    for _ in range(600):
        user_id, at_s = int(draw.integers(PEOPLE)), NOW_S + float(draw.uniform(-9e6, 9e5))
        told = draw.choice(tags, draw.integers(5), replace=False).tolist()
        amount = float(draw.choice([-2.0, -0.5, 0.2, 1.0]))
        state = one_by_one[user_id]
        kind = draw.integers(4)
        if kind == 0:
            state.bought(told, at_s)
            at_once.bought(user_id, told, at_s)
        elif kind == 1:
            state.interested(told, at_s, amount)
            at_once.interested(user_id, told, at_s, amount)
        elif kind == 2:
            state.shown(told, at_s, np.sign(amount))
            at_once.shown(user_id, told, at_s, np.sign(amount))
        else:
            state.pushed(at_s, np.sign(amount))
            at_once.pushed(user_id, at_s, np.sign(amount))
    taught = at_once.taught([before[user_id] for user_id in at_once.user_ids])
    assert dict(zip(at_once.user_ids, taught, strict=True)) == {
        user_id: state.pack() for user_id, state in one_by_one.items()
    }
    assert (max(int(state.header["entries"][0]) for state in one_by_one.values()) == CAPACITY) == (tags == 400)


def test_nothing_taught_is_nobody_and_a_basket_of_nothing_is_one() -> None:
    assert Lessons().taught([]) == []
    lessons, alone = Lessons(), Tastes()
    lessons.bought(7, (), NOW_S)
    alone.bought((), NOW_S)
    assert lessons.taught([b""]) == [alone.pack()]


def test_a_state_that_cannot_be_read_is_said() -> None:
    lessons = Lessons()
    lessons.bought(7, (1,), NOW_S)
    with pytest.raises(UnknownStateError):
        lessons.taught([b"\x02"])


def _somebody(draw: np.random.Generator, tags: int, baskets: int) -> bytes:
    state = Tastes()
    for at_s in np.sort(draw.uniform(NOW_S - 9e6, NOW_S, baskets)).tolist():
        state.bought(draw.choice(tags, 3, replace=False).tolist(), at_s)
    return state.pack() if baskets else b""
