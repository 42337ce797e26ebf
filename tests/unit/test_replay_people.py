"""The comparison with and without the personal layer: worlds that differ as they say, and the same people in both plays."""

import numpy as np
import pytest

from bandits import features, personal
from service.replay import people
from service.replay.people import Homes
from service.replay.people_player import Walk, play
from service.replay.shopping import WEEKS

PEOPLE, ARMS = 30, 8


@pytest.fixture(scope="module")
def homes() -> Homes:
    """People who buy by a habit of their own, which lp tells."""
    rng = np.random.default_rng(3)
    habit = rng.normal(-1.5, 1.5, (PEOPLE, ARMS))
    bought = rng.random((WEEKS, PEOPLE, ARMS)) < 1.0 / (1.0 + np.exp(-habit))
    since_s = np.full(bought.shape, np.inf)
    for week in range(1, WEEKS):
        since_s[week] = np.where(bought[week - 1], 3.5 * 86400.0, since_s[week - 1] + 7 * 86400.0)
    phi = np.zeros((WEEKS, PEOPLE, ARMS, features.DIMS), np.float32)
    phi[..., 0] = 1.0
    phi[..., features.NAMES.index("lp")] = habit + 3.0
    axes = rng.normal(size=(WEEKS, ARMS, personal.AXES)).astype(np.float32)
    return Homes(phi, axes, bought, since_s, 1_772_000_000.0 + 7 * 86400.0 * np.arange(WEEKS))


def test_in_the_year_as_it_was_all_that_is_bought_is_redeemed(homes: Homes) -> None:
    assert people.in_world("as_it_was", homes, 0) is homes.bought


def test_some_answer_only_to_what_they_did_not_buy_lately(homes: Homes) -> None:
    reward = people.in_world("not_bought_lately", homes, 0)
    lost = homes.bought & ~reward
    assert (homes.since_s[lost] <= people.LATELY_S).all()
    share = lost.any(axis=(0, 2)).mean()
    assert 0.1 < share < 0.6
    # Who loses anything loses all that they bought lately.
    odd = lost.any(axis=(0, 2))
    assert not (reward & (homes.since_s <= people.LATELY_S))[:, odd].any()


def test_everybody_is_deaf_to_something_always(homes: Homes) -> None:
    reward = people.in_world("deaf_to_tastes", homes, 0)
    heard, bought = reward.any(axis=0), homes.bought.any(axis=0)
    assert 0.4 < heard.sum() / bought.sum() < 0.95
    np.testing.assert_array_equal(reward, homes.bought & heard)


def test_a_play_is_repeated_and_the_layer_is_in_one_of_them(homes: Homes) -> None:
    walk = Walk(homes.phi, homes.axes, homes.begins_s, homes.bought)
    first, without = play(walk, 1, is_personal=False), play(walk, 1, is_personal=False)
    np.testing.assert_array_equal(first[0], without[0])
    assert without[1] == personal.VARIANCES
    own, variances = play(walk, 1, is_personal=True)
    assert variances != personal.VARIANCES
    best = homes.bought.mean(axis=0).max(axis=1).mean()
    assert min(own.mean(), without[0].mean()) > 0.85 * best
