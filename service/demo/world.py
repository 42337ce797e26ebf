"""The households of one run, their real baskets and the deals: what is known at an instant, and what answers a push."""

from typing import Final, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from service.demo import deals as deals_of
from service.demo import local_week
from service.demo.deals import Deal
from service.demo.groceries import Baskets
from service.demo.local_week import Ints

OPEN_WINDOW_S: Final = 6 * 3600
"""A push is opened when the household's next basket begins within this time."""
REDEEM_WINDOW_S: Final = 72 * 3600
"""A deal is redeemed when a basket within this time holds its category."""

Flags = NDArray[np.bool_]


class Ledger(NamedTuple):
    """The baskets of one household: at_s (n,) in order, and bought (n + 1, deals), how often each deal's category was bought in the first k."""

    at_s: Ints
    bought: Ints

    def bought_before(self, moments_s: Ints) -> Ints:
        """(moments, deals) baskets with each deal's category before each moment."""
        return self.bought[np.searchsorted(self.at_s, moments_s, "left")]

    def opens(self, moments_s: Ints) -> Flags:
        """(moments,) whether a basket begins after the moment and within OPEN_WINDOW_S."""
        first = np.searchsorted(self.at_s, moments_s, "right")
        found: Flags = np.searchsorted(self.at_s, moments_s + OPEN_WINDOW_S, "right") > first
        return found

    def redeems(self, moments_s: Ints) -> Flags:
        """(moments, deals) whether a basket after the moment and within REDEEM_WINDOW_S holds the deal's category."""
        first = np.searchsorted(self.at_s, moments_s, "right")
        last = np.searchsorted(self.at_s, moments_s + REDEEM_WINDOW_S, "right")
        found: Flags = self.bought[last] > self.bought[first]
        return found

    def answers(self, moment_s: int, deal: int) -> tuple[int | None, int | None]:
        """Unix seconds at which a push of this moment and deal is opened and redeemed; None for never."""
        after = int(np.searchsorted(self.at_s, moment_s, "right"))
        opened = redeemed = None
        if after < len(self.at_s) and self.at_s[after] <= moment_s + OPEN_WINDOW_S:
            opened = int(self.at_s[after])
        with_deal = int(np.searchsorted(self.bought[:, deal], self.bought[after, deal], "right")) - 1
        if with_deal < len(self.at_s) and self.at_s[with_deal] <= moment_s + REDEEM_WINDOW_S:
            redeemed = int(self.at_s[with_deal])
        return opened, redeemed


class World:
    """What really happened to the chosen households, H of them, over `weeks` decision weeks, W."""

    def __init__(self, baskets: Baskets, deals: tuple[Deal, ...], weeks: int) -> None:
        self.baskets = baskets
        self.deals = deals
        self.weeks = weeks
        self.households = len(baskets.household_ids)
        self.instants_s = local_week.instants(weeks)
        self._hours = local_week.hours_of_week(baskets.at_s)
        self._deal_of_tag = np.full(len(baskets.tag_names), -1, np.int64)
        self._deal_of_tag[[deal.tag for deal in deals]] = np.arange(len(deals))

    def ledger(self, household: int) -> Ledger:
        """The baskets of the household with this index."""
        begin, end = self.baskets.starts[household : household + 2]
        bought = np.zeros((end - begin + 1, len(self.deals)), np.int64)
        basket, deal = self._deals_in(int(begin), int(end))
        bought[basket + 1, deal] = 1
        return Ledger(self.baskets.at_s[begin:end], np.cumsum(bought, axis=0))

    def hours(self, household: int) -> Ints:
        """(W, 168) baskets of the household before each week, by hour of the local week."""
        begin, end = self.baskets.starts[household : household + 2]
        return hours_before(self.baskets.at_s[begin:end], self._hours[begin:end], self.instants_s[:-1, 0])

    def population_hours(self) -> Ints:
        """(W, 168) baskets of all households before each week, by hour of the local week."""
        return hours_before(self.baskets.at_s, self._hours, self.instants_s[:-1, 0])

    def population_bought(self, moments_s: Ints) -> Ints:
        """(moments, deals) baskets of all households with each deal's category before each moment."""
        basket, deal = self._deals_in(0, len(self.baskets.ids))
        at_s = self.baskets.at_s[basket]
        return np.stack([np.bincount(deal[at_s < moment], minlength=len(self.deals)) for moment in moments_s])

    def _deals_in(self, begin: int, end: int) -> tuple[Ints, Ints]:
        """Pairs of basket, counted from `begin`, and deal whose category it holds."""
        bounds = self.baskets.tag_starts[begin : end + 1]
        basket = np.repeat(np.arange(end - begin), np.diff(bounds))
        deal = self._deal_of_tag[self.baskets.tags[bounds[0] : bounds[-1]]]
        return basket[deal >= 0], deal[deal >= 0]


def hours_before(at_s: Ints, hours: Ints, begins_s: Ints) -> Ints:
    """(begins, 168) how many of the instants lie before each begin, by their hour of the week; begins ascend."""
    first_known = np.searchsorted(begins_s, at_s, "right")
    counts = np.zeros((len(begins_s) + 1, local_week.HOURS), np.int64)
    np.add.at(counts, (first_known, hours), 1)
    return np.cumsum(counts, axis=0)[: len(begins_s)]


def choose_households(household_ids: Ints, count: int, salt: str) -> Ints:
    """Indices of the `count` households whose hashes with the salt come first, ascending."""
    hashes = [xxhash.xxh3_64_intdigest(f"{salt}:{one}".encode()) for one in household_ids.tolist()]
    return np.sort(np.argsort(np.array(hashes, np.uint64), kind="stable")[:count])


def of_year(year: Baskets, households: int, weeks: int, salt: str) -> World:
    """The world of a run."""
    chosen = choose_households(year.household_ids, households, salt)
    return World(year.of_households(chosen), deals_of.choose(year), weeks)
