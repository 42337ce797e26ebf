"""`draw_together` for people who lie in columns: nothing is made for each, and what is drawn is the same, bit for bit."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.kernels import draw_many
from bandits.kernels.draw_many import EVENLY
from bandits.kernels.many import PERSON, Draws, People
from bandits.kernels.tastes import ENTRY
from bandits.policies import draw_together
from bandits.policies.draw import Terms
from bandits.policies.draw_together import Goods, Places
from bandits.policies.learned_states import LearnedStates
from bandits.policies.model import Model

I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Drawers(NamedTuple):
    """For whom is drawn, (n,) each, as of `draw_together.Drawer`; the eligible offers of each are those of `choices` at `choice`."""

    known: LearnedStates
    may_personalise: Mask
    hours: I64
    is_control: Mask
    choice: I64
    choices: Sequence[Places]
    keys: npt.NDArray[np.uint64]


def draw(model: Model, goods: Goods, terms: Terms, given: Drawers, some: I64, now_s: float) -> Draws:
    """Draws a slate and the gate for those at the places `some`, whose states are readable; arguments else as of `draw_together.draw`."""
    people = _people(given, some, draw_together.ranked_by(terms.kind))
    return draw_many.draw_many(people, *draw_together.beside_people(model, goods, terms, now_s))


def _people(given: Drawers, some: I64, ranked_by: int) -> People:
    known = given.known
    entries = [known.entries[n] for n in some.tolist()]
    ends = np.cumsum([len(one) // ENTRY.itemsize for one in entries])
    choices, choice = np.unique(given.choice[some], return_inverse=True)
    places = [given.choices[one] for one in choices.tolist()]
    hours = given.hours[some]
    people = np.zeros(len(some), PERSON)
    people["key"] = given.keys[some]
    people["hour"] = np.where(hours >= 0, hours % 24, -1)
    people["faded"] = known.faded[some]
    people["entries_from"][1:], people["entries_to"] = ends[:-1], ends
    people["ranked_by"] = np.where(given.is_control[some], EVENLY, ranked_by)
    people["choice"] = choice
    people["is_known"] = given.may_personalise[some]
    return People(
        people,
        known.headers[some],
        np.frombuffer(b"".join(entries), ENTRY),
        np.zeros(0, np.int64),
        known.sums[some],
        np.concatenate(places),
        np.cumsum([0, *map(len, places)]),
    )
