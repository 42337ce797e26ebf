"""`welltimed replay` on files: the figures of a known world, and what is refused in words."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from service.cli import main
from service.replay import references
from service.replay.rounds import Rounds

ROUNDS, ARMS = 1_200, 6


class File:
    """Arms that differ in two features; the reward is 0 or 1."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(3)
        self.path = folder / "data.npz"
        self.phi = rng.normal(size=(ROUNDS, ARMS, 3)).astype(np.float32)
        self.phi[:, :, 0] = 1.0
        chance = 1.0 / (1.0 + np.exp(2.5 - 1.5 * self.phi[:, :, 1] + self.phi[:, :, 2]))
        self.reward = (rng.random(chance.shape) < chance).astype(np.float32)
        self.best = self.reward[np.arange(ROUNDS), chance.argmax(axis=1)].mean()
        self.write()

    def write(self, **changed: Any) -> None:
        np.savez(self.path, **({"phi": self.phi, "reward": self.reward} | changed))

    def replay(self, *options: str) -> Result:
        return CliRunner().invoke(main, ["replay", str(self.path), *options])

    def told(self, *options: str) -> dict[str, Any]:
        result = self.replay("--json", *options)
        assert result.exit_code == 0, result.output
        told: dict[str, Any] = json.loads(result.stdout)
        return told

    def refused(self, *options: str) -> str:
        result = self.replay("--json", *options)
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        assert result.stderr.startswith("welltimed: ")
        return result.stderr.removeprefix("welltimed: ").rstrip()


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path)


def test_json(file: File) -> None:
    told = file.told("--seeds", "2")
    assert told["policy"] == "linear_ucb"
    assert told["seeds"] == [0, 1]
    assert (told["rounds"], told["arms"], told["features"]) == (ROUNDS, ARMS, 3)
    assert told["mean_reward"] == pytest.approx(np.mean(told["per_seed"]))
    assert told["first_1000"] == pytest.approx(np.mean(told["first_1000_per_seed"]))
    assert told["per_seed"][0] != told["per_seed"][1]
    assert told["mean_reward"] > 0.85 * file.best
    assert told["uniform"]["mean_reward"] == pytest.approx(file.reward.mean())
    assert told["best_static"]["mean_reward"] == pytest.approx(file.reward.mean(axis=0).max())
    assert told["seconds"] > 0.0
    assert file.told("--seeds", "2") | {"seconds": 0} == told | {"seconds": 0}
    assert file.told("--first-seed", "1")["per_seed"] == told["per_seed"][1:]


def test_table(file: File) -> None:
    text = file.replay("--policy", "linear_ucb", "--rounds", "300", "--delay-rounds", "5").output
    assert "300 rounds by 6 arms by 3 features, seeds [0]; answers 5 rounds late, a snapshot every 1" in text
    assert all(f"\n{name} " in text for name in ("linear_ucb", "best_static", "uniform"))


def test_late_rewards_cost(file: File) -> None:
    at_once = file.told("--rounds", "400", "--seeds", "3")["mean_reward"]
    stale = file.told("--rounds", "400", "--seeds", "3", "--delay-rounds", "200", "--snapshot-every", "100")
    assert (stale["delay_rounds"], stale["snapshot_every"]) == (200, 100)
    assert stale["mean_reward"] < at_once


def test_only_eligible_arms_earn(file: File) -> None:
    eligible = np.zeros((ROUNDS, ARMS), bool)
    eligible[np.arange(ROUNDS), np.arange(ROUNDS) % ARMS] = True
    file.write(eligible=eligible)
    told = file.told("--policy", "uniform")
    only = file.reward[eligible].mean()
    for one in (told, told["best_static"], told["uniform"]):
        assert one["mean_reward"] == pytest.approx(only)


def test_the_best_arm_in_hindsight_is_the_best_among_the_eligible() -> None:
    reward = np.array([[1.0, 0.0, 0.5], [1.0, 0.0, 0.5], [0.0, 0.0, 0.5]])
    eligible = np.array([[True, True, True], [True, True, True], [False, True, True]])
    plain = references.plain(Rounds(np.ones((3, 3, 1), np.float32), reward, eligible))
    assert plain["best_static"].tolist() == [1.0, 1.0, 0.5]
    assert plain["uniform"] == pytest.approx([0.5, 0.5, 0.25])


def test_what_is_wrong_is_named(file: File, tmp_path: Path) -> None:
    file.write(reward=file.reward[:, :2])
    assert file.refused() == "reward: shape (1200, 2) instead of (1200, 6)"
    file.write(reward=file.reward * 3.0)
    wanted = "reward: logistic_thompson wants 0 and 1 only; try --policy linear_thompson"
    assert file.refused("--policy", "logistic_thompson") == wanted
    assert file.told("--policy", "linear_thompson", "--rounds", "50")["policy"] == "linear_thompson"
    assert file.refused("--policy", "oracle").startswith("policy: there is no 'oracle'; there are default, ")
    file.path.write_bytes(b"no zip")
    assert "data.npz: no npz file" in file.refused()
    file.path.unlink()
    assert "No such file" in file.refused()
    assert file.replay("--seeds", "0").exit_code == 2


def test_ranks_of_the_journey_are_read_strictly(tmp_path: Path) -> None:
    for text in ("41", "41-", "a-b", "-1-5", "41-90-100"):
        result = CliRunner().invoke(main, ["replay", "journey", f"--categories={text}"])
        assert result.exit_code == 1
        assert f"categories: '{text}' is not two ranks such as 41-90" in result.stderr
