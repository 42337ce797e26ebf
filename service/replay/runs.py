"""What was earned on the same rounds, seed by seed, and how it is told."""

from collections.abc import Mapping
from time import perf_counter
from typing import Any, Final

from bandits.learners.learner import Learner
from service.replay import player
from service.replay.options import Options
from service.replay.player import Pace
from service.replay.rounds import F64, Rounds

FIRST: Final = 1_000
"""The rounds at the start that are told apart."""

_PLAYED: Final = "played"


class Runs:
    """Mean reward, over all rounds and over the first, of each seed, by who earned it."""

    def __init__(self) -> None:
        self._means: dict[str, list[tuple[float, float]]] = {}
        self._seconds = 0.0

    def play(self, learner: Learner, rounds: Rounds, pace: Pace, seed: int) -> None:
        """Another seed of the policy itself."""
        began = perf_counter()
        arms = player.play(learner, rounds, pace, seed)
        self._seconds += perf_counter() - began
        self.add({_PLAYED: rounds.earned(arms)})

    def add(self, rewards: Mapping[str, F64]) -> None:
        """Another seed of others, (rounds,) each."""
        for name, reward in rewards.items():
            means = float(reward.mean()), float(reward[:FIRST].mean())
            self._means.setdefault(name, []).append(means)

    def told(self, policy: str, rounds: Rounds, options: Options) -> dict[str, Any]:
        """All of it as it goes out in JSON."""
        arms, features = rounds.phi.shape[1:]
        return {
            "policy": policy,
            **self._figures(_PLAYED),
            "seconds": round(self._seconds, 3),
            "rounds": rounds.length,
            "arms": arms,
            "features": features,
            "seeds": list(options.numbers()),
            "delay_rounds": options.delay_rounds,
            "snapshot_every": options.snapshot_every,
            **{name: self._figures(name) for name in self._means if name != _PLAYED},
        }

    def _figures(self, name: str) -> dict[str, Any]:
        whole, first = zip(*self._means[name], strict=True)
        return {
            "mean_reward": sum(whole) / len(whole),
            "first_1000": sum(first) / len(first),
            "per_seed": list(whole),
            "first_1000_per_seed": list(first),
        }


def table(told: Mapping[str, Any]) -> str:
    """The same for people, each as a share of the supervised model where there is one."""
    measure = told.get("supervised")
    head = f"{'':<24}{'mean reward':>12}{'first 1,000':>13}"
    share = f"{'÷ supervised':>14}{'first':>8}" if measure else ""
    lines = [_sizes(told), "", head + share, _line(told["policy"], told, measure)]
    lines += [_line(name, one, measure) for name, one in told.items() if isinstance(one, Mapping)]
    return "\n".join([*lines, "", f"{told['seconds']:.1f} s for {told['policy']} alone"])


def _sizes(told: Mapping[str, Any]) -> str:
    text = f"{told['rounds']:,} rounds by {told['arms']} arms by {told['features']} features, seeds {told['seeds']}"
    if told["delay_rounds"] or told["snapshot_every"] > 1:
        text += f"; answers {told['delay_rounds']:,} rounds late, a snapshot every {told['snapshot_every']:,}"
    return text


def _line(name: str, one: Mapping[str, Any], measure: Mapping[str, Any] | None) -> str:
    text = f"{name:<24}{one['mean_reward']:>12.4f}{one['first_1000']:>13.4f}"
    if measure is None:
        return text
    return text + "".join(
        f"{one[key] / measure[key]:>{width}.3f}" if measure[key] else f"{'?':>{width}}"
        for key, width in (("mean_reward", 14), ("first_1000", 8))
    )
