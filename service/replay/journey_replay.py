"""The replay of the grocery year: other household-weeks with every seed."""

from typing import Any, Final

from bandits import features
from service.demo import groceries
from service.demo.groceries import Baskets, GroceriesMissing
from service.replay import journey, journey_references, learners, references, shopping
from service.replay.options import Options
from service.replay.runs import Runs

HABIT: Final = features.NAMES.index("lp")


def replay(ranks: tuple[int, int], count: int, options: Options) -> dict[str, Any]:
    """`count` household-weeks a seed with the categories of these ranks as arms, as it goes out in JSON.

    Raises:
        ValueError: there are not so many ranks or household-weeks, or the package with the data is missing.
    """
    year = journey.ready(shopping.of_year(_groceries(), *ranks))
    runs = Runs()
    for seed in options.numbers():
        drawn = journey.draw(year, count, seed)
        learner = learners.of_product(options.learner, drawn.rounds, options.pace, HABIT)
        runs.play(learner, drawn.rounds, options.pace, seed)
        runs.add(references.plain(drawn.rounds))
        runs.add(journey_references.rewards(drawn, year.shopping, drawn.rounds.phi[:, :, HABIT]))
    return runs.told(options.policy, drawn.rounds, options)


def _groceries() -> Baskets:
    try:
        return groceries.load()
    except GroceriesMissing as missing:
        raise ValueError(str(missing)) from missing
