"""The digits of scikit-learn as a bandit of ten arms, as `welltimed replay` plays them for who knows nothing of the features."""

from pathlib import Path

import numpy as np
import pytest

from bandits.learners import build
from scripts.peers import digits
from service import npz
from service.replay import rounds
from service.replay.options import Options
from service.replay.replay import replay


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nine_in_ten_and_more_are_read(tmp_path: Path) -> None:
    made = digits.rounds()
    file = tmp_path / "digits.npz"
    np.savez(file, phi=made.phi, reward=made.reward)
    assert rounds.checked(npz.arrays(file, rounds.ARRAYS)).phi.shape == (5_000, 10, 650)
    told = replay(str(file), "", None, Options())
    assert told["policy"] == build.GENERIC_DEFAULT
    assert told["uniform"]["mean_reward"] == pytest.approx(0.1)
    assert told["mean_reward"] >= 0.93


def test_a_round_has_one_right_arm_and_its_picture_in_the_block_of_each() -> None:
    made = digits.rounds(20)
    assert (made.reward.sum(axis=1) == 1.0).all()
    blocks = made.phi.reshape(20, 10, 10, 65)
    for arm in range(10):
        np.testing.assert_array_equal(blocks[:, arm, arm], blocks[:, 0, 0])
        assert not np.delete(blocks[:, arm], arm, axis=1).any()
    assert (blocks[:, 0, 0, -1] == 1.0).all()
