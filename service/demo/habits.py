"""What the engine's features make of every deal at the moments of a policy: the same code that the server decides with, fed from the baskets alone.

Nothing else of the demo knows the engine's code. A reference that is to be as strong as can be gets the same features.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits import features, taste_map
from bandits.delay import WINDOW_S
from bandits.kernels.featurize import featurize_known
from bandits.kernels.popularity import POPULARITY, popularity
from bandits.kernels.tastes import add_baskets
from bandits.population import HALF_LIFE_S, RECENT_HALF_LIFE_S, RECENT_PSEUDO_BASKETS
from bandits.taste_map import TasteMap
from bandits.tastes import Tastes
from service.demo import local_week
from service.demo.deals import Deal
from service.demo.groceries import Baskets
from service.demo.local_week import Ints
from service.demo.world import Flags, World

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

CONTENDERS: Final = 10
"""Deals that are looked at for a household and moment: those it most likely buys by habit alone."""

_HABIT: Final = features.NAMES.index("lp")
_DISCOUNT: Final = 0.0
_FAR, _DRY = 0.0, False


class Crowd(NamedTuple):
    """What people in general buy: popularity (W, deals, POPULARITY) as it is known when each week begins, and what goes together."""

    popularity: F64
    taste_map: TasteMap


class Contenders(NamedTuple):
    """The likeliest deals of every household and week (H, W, K): features (H, W, K, d), index of the deal, and whether it would be redeemed."""

    phi: F32
    deals: Ints
    is_redeemed: Flags


def crowd(baskets: Baskets, deals: tuple[Deal, ...], begins_s: Ints) -> Crowd:
    """What these households have bought before each week, (W,) Unix seconds; what goes together is learned from all of it."""
    shares, recent = tag_shares(baskets, begins_s)
    tags_of_deal = _tags(deals)
    known = np.empty((len(begins_s), len(deals), POPULARITY))
    for week, of_week in enumerate(known):
        popularity(tags_of_deal, shares[week], recent[week], of_week)
    people = [_taught(baskets, household).pack() for household in range(len(baskets.household_ids))]
    return Crowd(known, taste_map.learn(people, 1, taste_map.empty(), ()))


def tag_shares(baskets: Baskets, begins_s: Ints) -> tuple[F32, F32]:
    """(W, tags) share of the baskets before each week with each tag, and the same of the last weeks, as bandits.population counts them."""
    tagged, alone = _decayed(baskets, begins_s, HALF_LIFE_S)
    shares = tagged / np.maximum(alone, 1e-300)[:, None]
    tagged, alone = _decayed(baskets, begins_s, RECENT_HALF_LIFE_S)
    recent = (tagged + RECENT_PSEUDO_BASKETS * shares) / (alone + RECENT_PSEUDO_BASKETS)[:, None]
    return shares.astype(np.float32), recent.astype(np.float32)


def _decayed(baskets: Baskets, begins_s: Ints, half_life_s: float) -> tuple[F64, F64]:
    """Baskets before each week with each tag (W, tags), and all of them (W,), as they weigh when the week begins."""
    weeks, tags = len(begins_s), len(baskets.tag_names)
    known_from = np.searchsorted(begins_s, baskets.at_s, "right")
    weight = np.exp2((baskets.at_s - begins_s[0]) / half_life_s)
    of_item = np.repeat(np.arange(len(baskets.ids)), np.diff(baskets.tag_starts))
    place = known_from[of_item] * tags + baskets.tags
    tagged = np.bincount(place, weight[of_item], (weeks + 1) * tags).reshape(weeks + 1, tags)
    alone = np.bincount(known_from, weight, weeks + 1)
    left = np.exp2((begins_s[0] - begins_s) / half_life_s)
    return np.cumsum(tagged, axis=0)[:weeks] * left[:, None], np.cumsum(alone)[:weeks] * left


def _taught(baskets: Baskets, household: int) -> Tastes:
    tastes = Tastes()
    _teach(tastes, baskets, *(int(bound) for bound in baskets.starts[household : household + 2]))
    return tastes


def _teach(tastes: Tastes, baskets: Baskets, begin: int, end: int) -> None:
    """The baskets from begin to end; as Tastes.bought, without a copy of the tags one by one: tags are never negative."""
    starts, at_s = baskets.tag_starts[begin : end + 1], baskets.at_s[begin:end]
    add_baskets(tastes.header, tastes.entries, baskets.tags.view(np.uint16), starts, at_s)


def contenders(world: World, moments_s: Ints, known: Crowd) -> Contenders:
    """The likeliest deals at the moments (H, W) by what each household had bought until then."""
    count = min(CONTENDERS, len(world.deals))
    shape = (world.households, world.weeks, count)
    found = Contenders(
        np.empty((*shape, features.DIMS), np.float32), np.empty(shape, np.int64), np.empty(shape, np.bool_)
    )
    hours = (local_week.hours_of_week(moments_s) % 24).astype(np.float64)
    for household in range(world.households):
        is_redeemed = world.ledger(household).redeems(moments_s[household])
        for week, phi in enumerate(_features(world, household, moments_s[household], hours[household], known)):
            top = np.argsort(-phi[:, _HABIT], kind="stable")[:count]
            place = household, week
            found.phi[place], found.deals[place], found.is_redeemed[place] = phi[top], top, is_redeemed[week, top]
    return found


def _features(world: World, household: int, moments_s: Ints, hours: F64, known: Crowd) -> Iterator[F32]:
    """(deals, d) at each moment (W,), in their order; the same array each time."""
    baskets = world.baskets
    begin, end = (int(bound) for bound in baskets.starts[household : household + 2])
    upto = begin + np.searchsorted(baskets.at_s[begin:end], moments_s, "left")
    tags_of_deal, deals = _tags(world.deals), len(world.deals)
    personal, discounts = np.ones(deals, np.bool_), np.full(deals, _DISCOUNT, np.float32)
    held = np.zeros(len(baskets.tag_names), np.bool_)
    mapped = known.taste_map
    phi = np.empty((deals, features.DIMS), np.float32)
    tastes = Tastes()
    for week, now_s in enumerate(moments_s.tolist()):
        _teach(tastes, baskets, begin, int(upto[week]))
        begin = int(upto[week])
        featurize_known(
            tastes.header, tastes.entries, tags_of_deal, personal, discounts, known.popularity[week],
            mapped.companions, mapped.lifts, mapped.cycles_s, held, float(now_s), WINDOW_S, float(hours[week]), _FAR, _DRY, phi,
        )  # fmt: skip  # arrays, then numbers
        yield phi


def _tags(deals: tuple[Deal, ...]) -> npt.NDArray[np.int16]:
    """(deals, 1) as a catalogue has them."""
    return np.array([deal.tag for deal in deals], np.int16)[:, None].copy()
