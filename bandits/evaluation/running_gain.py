"""What a challenger would gain over the policy that decides, from its log, that may be looked at any time.

With w the challenger's probability of the logged action over its propensity, E[(w - 1) (r - c)] is the challenger's mean reward less
that of the log, for any c fixed beforehand, since E[w] = 1; a c near the usual reward makes it less noisy. The values lie
within a range known from the largest weight possible, which the floor of the logging policy gives (number of offers / floor).
"""

import numpy as np
import numpy.typing as npt

from bandits.evaluation.confidence_sequence import ConfidenceSequence
from bandits.evaluation.estimate import F64, Bounds


class RunningGain:
    """Bounds of the mean gain of a decision; the challenger is better when the lower one is above zero."""

    __slots__ = ("_baseline", "_bounds", "_sequence")

    def __init__(
        self, bounds: Bounds, baseline: float = 0.0, confidence: float = 0.95, streams: tuple[int, ...] = ()
    ) -> None:
        """Nothing has come yet.

        Args:
            bounds: of weights and rewards, known beforehand.
            baseline: c, what is taken off each reward; fixed beforehand.
            confidence: of both bounds together.
            streams: shape of an array of streams that get equally many decisions.
        """
        corners = [
            (weight - 1.0) * (reward - baseline)
            for weight in (0.0, max(bounds.weight_max, 1.0))
            for reward in (bounds.reward_low, bounds.reward_high)
        ]
        self._bounds, self._baseline = bounds, baseline
        self._sequence = ConfidenceSequence(min(corners), max(corners), confidence, streams)

    def add(self, weight: npt.ArrayLike, reward: npt.ArrayLike) -> None:
        """More decisions, (..., block), in the order in which their rewards became known.

        Raises:
            ValueError: a weight or reward outside the bounds.
        """
        weights, rewards = np.asarray(weight, np.float64), np.asarray(reward, np.float64)
        if not ((weights >= 0.0) & (weights <= self._bounds.weight_max)).all():
            raise ValueError(f"a weight is outside 0 to {self._bounds.weight_max:g}")
        if not ((rewards >= self._bounds.reward_low) & (rewards <= self._bounds.reward_high)).all():
            raise ValueError(f"a reward is outside {self._bounds.reward_low:g} to {self._bounds.reward_high:g}")
        self._sequence.add((weights - 1.0) * (rewards - self._baseline))

    def mean(self) -> F64:
        """The mean gain so far."""
        return self._sequence.mean()

    def bounds(self) -> tuple[F64, F64]:
        """Lower and upper bound of the mean gain, as of now."""
        return self._sequence.bounds()
