"""Rounds from raw purchases: a round is a household in a week, with features made as a decision makes them."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits import features, taste_map, tastes
from bandits.kernels.featurize import featurize
from bandits.taste_map import TasteMap
from service.replay import shopping as shopping_of
from service.replay.rounds import Rounds
from service.replay.shopping import WEEKS, Shopping

F32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

WEEK_S: Final = 7 * 86400.0
MAP_WEEKS: Final = 4
"""The map of tastes is learned anew so often."""
_UNKNOWN_HOUR: Final = -1.0
"""A week has no hour of the day."""


class Year(NamedTuple):
    """The year made ready: shopping, and what is known of all people when a week begins.

    Attributes:
        shopping: of every household.
        tag_shares: (WEEKS, tags) share of people's baskets with each tag.
        recent_shares: (WEEKS, tags) the same of the last weeks.
        maps: (WEEKS,) which things go together and how often they are bought again.
    """

    shopping: Shopping
    tag_shares: F32
    recent_shares: F32
    maps: tuple[TasteMap, ...]


class Journey(NamedTuple):
    """Rounds with the household and the week (rounds,) each was made of."""

    rounds: Rounds
    households: Ints
    weeks: Ints


def ready(shopping: Shopping) -> Year:
    """Counts what people in general had bought before each week."""
    tags = len(shopping.baskets.tag_names)
    shares, recent = np.zeros((WEEKS, tags), np.float32), np.zeros((WEEKS, tags), np.float32)
    for week, population in enumerate(shopping_of.populations(shopping)):
        known = len(population.tags)
        shares[week, :known] = population.tag_shares()
        recent[week, :known] = population.recent_shares(float(shopping.begins_s[week]))
    return Year(shopping, shares, recent, _maps(shopping))


def _maps(shopping: Shopping) -> tuple[TasteMap, ...]:
    """Learned from all households every MAP_WEEKS weeks, the last one in force."""
    households = np.arange(len(shopping.baskets.household_ids))
    learned: list[TasteMap] = []
    newest = taste_map.empty()
    begins = np.arange(0, WEEKS, MAP_WEEKS)
    home, week = np.repeat(households, len(begins)), np.tile(begins, len(households))
    states: dict[int, list[bytes]] = {int(begin): [] for begin in begins}
    for one, state in _states(shopping, home, week):
        states[int(week[one])].append(state)
    for begin, people in states.items():
        newest = taste_map.learn(people, newest.version + 1, newest, ())
        learned += [newest] * min(MAP_WEEKS, WEEKS - begin)
    return tuple(learned)


def draw(year: Year, count: int, seed: int) -> Journey:
    """`count` household-weeks without replacement, week by week, in a random order within the week.

    Raises:
        ValueError: there are not so many.
    """
    households = len(year.shopping.baskets.household_ids)
    if not 1 <= count <= households * WEEKS:
        raise ValueError(f"rounds: {count} is not in 1 to {households * WEEKS}")
    rng = np.random.default_rng(seed)
    week, household = np.divmod(np.sort(rng.choice(households * WEEKS, count, replace=False)), households)
    order = np.lexsort((rng.random(count), week))
    household, week = household[order], week[order]
    phi = features_of(year, household, week)
    bought = year.shopping.bought_in[household, week]
    return Journey(Rounds(phi, bought.astype(np.float64), np.ones(bought.shape, np.bool_)), household, week)


def features_of(year: Year, household: Ints, week: Ints) -> F32:
    """(rounds, arms, features.DIMS), each by what was known when its week began."""
    shopping, arms = year.shopping, len(year.shopping.tags)
    tags_of_offer = shopping.tags.astype(np.int16)[:, None]
    personal, none_given = np.ones(arms, np.bool_), np.zeros(arms, np.float32)
    nothing_held = np.zeros(year.tag_shares.shape[1], np.bool_)
    is_arm = np.zeros(year.tag_shares.shape[1], np.bool_)
    is_arm[shopping.tags] = True
    phi = np.empty((len(household), arms, features.DIMS), np.float32)
    for round_, state in _states(shopping, household, week):
        person = tastes.view(tastes.for_decision(state, is_arm))
        now_s = float(shopping.begins_s[week[round_]])
        shares, recent = year.tag_shares[week[round_]], year.recent_shares[week[round_]]
        known = year.maps[week[round_]]
        featurize(
            person.header, person.entries, tags_of_offer, personal, none_given, shares, recent,
            known.companions, known.lifts, known.cycles_s, nothing_held, now_s, WEEK_S,
            _UNKNOWN_HOUR, 0.0, False, phi[round_],
        )  # fmt: skip
    return phi


def _states(shopping: Shopping, household: Ints, week: Ints) -> Iterator[tuple[int, bytes]]:
    """Each round with its household's packed tastes when the week began, household after household."""
    order = np.lexsort((week, household))
    bounds = np.searchsorted(household[order], np.arange(len(shopping.baskets.household_ids) + 1))
    for one in range(len(bounds) - 1):
        rounds = order[bounds[one] : bounds[one + 1]]
        yield from _states_of(shopping, one, rounds, week[rounds])


def _states_of(shopping: Shopping, household: int, rounds: Ints, weeks: Ints) -> Iterator[tuple[int, bytes]]:
    year = shopping.baskets
    begin, end = (int(bound) for bound in year.starts[household : household + 2])
    known = begin + np.searchsorted(shopping.week_of[begin:end], weeks)
    state = tastes.Tastes()
    for round_, upto in zip(rounds.tolist(), known.tolist(), strict=True):
        for basket in range(begin, upto):
            items = year.tags[year.tag_starts[basket] : year.tag_starts[basket + 1]]
            state.bought(items, float(year.at_s[basket]))
        begin = upto
        yield round_, state.pack()
