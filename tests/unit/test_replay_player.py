"""A learner plays rounds: when it is told what, and that the seed decides the draws."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from bandits.kernels.draw import draw
from bandits.kernels.random import uniform
from bandits.learners import build
from bandits.learners.learner import Choice
from service.decision import policy
from service.replay import player
from service.replay.player import Pace
from service.replay.rounds import Rounds

ROUNDS = 12


@dataclass
class Diary:
    """Chooses uniformly and writes down what it is told: rows carry the round in their one feature."""

    told: list[tuple[str, float, float]] = field(default_factory=list)

    def score(self, phi: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return mask / mask.sum()

    def predict(self, phi: np.ndarray, mask: np.ndarray, key: int) -> Choice:
        pmf = self.score(phi, mask)
        arm = draw(pmf, uniform(key, 0))
        self.told.append(("decide", float(phi[0, 0]), 0.0))
        return Choice(arm, float(pmf[arm]))

    def learn(self, phi_row: np.ndarray, reward: float, propensity: float) -> None:
        self.told.append(("learn", float(phi_row[0]), reward))

    def show(self, phi_row: np.ndarray, propensity: float, at_s: float) -> int:
        assert at_s == phi_row[0]
        return int(phi_row[0])

    def answer(self, row: int, reward: float) -> None:
        self.told.append(("answer", row, reward))

    def refresh(self, now_s: float) -> None:
        self.told.append(("refresh", now_s, 0.0))

    def pack(self) -> bytes:
        return b""


def rounds(arms: int = 3) -> Rounds:
    phi = np.broadcast_to(np.arange(ROUNDS, dtype=np.float32)[:, None, None], (ROUNDS, arms, 1)).copy()
    reward = np.arange(ROUNDS * arms, dtype=np.float64).reshape(ROUNDS, arms)
    return Rounds(phi, reward, np.ones((ROUNDS, arms), np.bool_))


def test_at_once_each_round_is_learned_before_the_next() -> None:
    diary, given = Diary(), rounds()
    arms = player.play(diary, given, Pace(), seed=1)
    expected: list[tuple[str, float, float]] = []
    for one, arm in enumerate(arms.tolist()):
        expected += [("decide", one, 0.0), ("learn", one, given.reward[one, arm])]
    assert diary.told == expected


@pytest.mark.parametrize(("delay", "every"), [(0, 4), (3, 1), (3, 4), (100, 5)])
def test_late_rewards_wait_for_their_delay_and_for_the_next_snapshot(delay: int, every: int) -> None:
    diary, given = Diary(), rounds()
    arms = player.play(diary, given, Pace(delay, every), seed=1)
    now = -1.0
    answered: dict[int, float] = {}
    for what, value, reward in diary.told:
        if what == "decide":
            now = value
            assert set(answered) == {row for row in range(ROUNDS) if row + delay < now - now % every}
        elif what == "refresh":
            assert value == now + 1
            assert value % every == 0
        else:
            answered[int(value)] = reward
    assert all(reward == given.reward[row, arms[row]] for row, reward in answered.items())


def test_arrivals_fit_the_delay() -> None:
    late = player.arrivals(Pace(3))
    assert late.at(np.array([1.0, 3.0, 4.0, 9.0])).tolist() == [0.0, 0.0, 1.0, 1.0]
    assert player.arrivals(Pace(0, 9)).at(np.array([1.0])).tolist() == [1.0]


def test_the_seed_decides_and_masks_hold() -> None:
    given = rounds()
    given.eligible[:, 1] = False
    one, again, other = (player.play(Diary(), given, Pace(), seed) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert set(one.tolist()) == {0, 2}


def test_a_real_learner_learns_late_too() -> None:
    rng = np.random.default_rng(5)
    phi = rng.normal(size=(600, 5, 2)).astype(np.float32)
    reward = (rng.random((600, 5)) < 1.0 / (1.0 + np.exp(2.0 - 3.0 * phi[:, :, 0]))).astype(np.float64)
    given = Rounds(phi, reward, np.ones((600, 5), np.bool_))
    for pace in (Pace(), Pace(20, 10)):
        learner = build.generic("logistic_thompson", phi.reshape(-1, 2), arrivals=player.arrivals(pace))
        earned = given.earned(player.play(learner, given, pace, 1))
        assert earned[200:].mean() > reward.mean() + 0.25


def test_what_a_replay_explores_with_is_what_the_product_explores_with() -> None:
    explored, options = policy.EXPLORATION, build.Options()
    assert (options.scale, options.width) == (explored["thompson"], explored["ucb"])
    assert options.floor == policy.BUILT_IN.floor
