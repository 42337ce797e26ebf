"""What was played already, in a file of one line a play: a comparison of an hour that is stopped goes on where it was.

A line belongs to its rounds by their fingerprint, so what was played on other rounds, or on other features of the same, is never taken up.
"""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from service.replay.rounds import Rounds


class Means(NamedTuple):
    """The mean reward over all rounds and over the first."""

    mean: float
    first: float


class Kept:
    """Plays by player (library, version and setting), seed of the draws and rounds; several processes may add to one file."""

    def __init__(self, file: Path | None) -> None:
        """None keeps nothing."""
        self._file = file
        self._means: dict[tuple[str, int, str], Means] = {}
        if file is not None and file.exists():
            for line in file.read_text("utf-8").splitlines():
                one = json.loads(line)
                self._means[one["player"], one["seed"], one["rounds"]] = Means(one["mean"], one["first"])

    def get(self, player: str, seed: int, rounds: str) -> Means | None:
        """None when it was not played."""
        return self._means.get((player, seed, rounds))

    def add(self, player: str, seed: int, rounds: str, means: Means) -> None:
        """One line, written at once."""
        if self._file is not None:
            line = {"player": player, "seed": seed, "rounds": rounds, **means._asdict()}
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def fingerprint(rounds: Rounds) -> str:
    """Of everything a player can see or earn."""
    found = hashlib.blake2b(digest_size=8)
    for part in rounds:
        found.update(str(part.shape).encode())
        found.update(part)
    return found.hexdigest()
