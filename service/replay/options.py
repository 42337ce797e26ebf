"""What is played, how often, and how late the player learns."""

from typing import Final, NamedTuple

from bandits.learners import build
from service.replay.player import Pace

DEFAULT: Final = "default"
POLICIES: Final = (DEFAULT, *build.NAMES)


class Options(NamedTuple):
    """As on the command line; `checked` before use."""

    policy: str = DEFAULT
    seeds: int = 1
    first_seed: int = 0
    delay_rounds: int = 0
    snapshot_every: int = 1

    @property
    def pace(self) -> Pace:
        """How late rewards come and how old the posterior may be."""
        return Pace(self.delay_rounds, self.snapshot_every)

    @property
    def learner(self) -> str:
        """Name of the learner among bandits.learners.build.NAMES."""
        return build.DEFAULT if self.policy == DEFAULT else self.policy

    def numbers(self) -> range:
        """The seeds themselves."""
        return range(self.first_seed, self.first_seed + self.seeds)


def checked(options: Options) -> Options:
    """The same options.

    Raises:
        ValueError: there is no such policy.
    """
    if options.policy not in POLICIES:
        raise ValueError(f"policy: there is no {options.policy!r}; there are {', '.join(POLICIES)}")
    return options
