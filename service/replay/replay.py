"""`welltimed replay`: a policy played on rounds of which everything is known, from a file or from a year of groceries."""

import re
from pathlib import Path
from typing import Any, Final

from bandits.learners import build
from service import npz
from service.replay import learners, references, rounds
from service.replay import options as options_of
from service.replay.options import Options
from service.replay.runs import Runs

JOURNEY: Final = "journey"
JOURNEY_ROUNDS: Final = 10_000


def replay(data: str, categories: str, count: int | None, options: Options) -> dict[str, Any]:
    """The replay of a file, or of the word `journey`, as it goes out in JSON.

    Args:
        data: path of an npz file, or JOURNEY.
        categories: first and last rank of those that are the arms of the journey, as "41-90".
        count: the rounds to play; None takes all of a file, and JOURNEY_ROUNDS of the journey.
        options: what is played and how often.

    Raises:
        ValueError: an array or an option is not what it must be, or the journey's data is missing; the message names it.
        OSError: the file cannot be read.
    """
    options_of.checked(options)
    if data != JOURNEY:
        return _of_file(Path(data), count, options)
    ranks = _ranks(categories)
    # Its data belongs to the demo's extra, which a file needs nothing of.
    from service.replay import journey_replay  # noqa: PLC0415

    return journey_replay.replay(ranks, JOURNEY_ROUNDS if count is None else count, options)


def _ranks(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,6})-(\d{1,6})", text)
    if found is None:
        raise ValueError(f"categories: {text!r} is not two ranks such as 41-90")
    return int(found[1]), int(found[2])


def _of_file(file: Path, count: int | None, options: Options) -> dict[str, Any]:
    given = rounds.checked(npz.arrays(file, rounds.ARRAYS)).first(count)
    # Nothing is known of the features of a file; the journey's learner begins with the product's prior.
    name = build.GENERIC_DEFAULT if options.policy == options_of.DEFAULT else options.policy
    if name.startswith("logistic") and not given.is_yes_or_no():
        raise rounds.NotRoundsError(f"reward: {name} wants 0 and 1 only; try --policy linear_thompson")
    runs = Runs()
    for seed in options.numbers():
        runs.play(learners.generic(name, given, options.pace), given, options.pace, seed)
        runs.add(references.plain(given))
    return runs.told(name, given, options)
