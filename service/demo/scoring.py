"""Pushes judged by what really happened: opened and redeemed, by household and week."""

from typing import NamedTuple

import numpy as np

from service.demo.local_week import Ints
from service.demo.world import Flags, World


class Pushes(NamedTuple):
    """One policy's choices, at most one a household and week, both (H, W): Unix seconds (0: nothing was sent) and index of the deal."""

    at_s: Ints
    deals: Ints

    def sent(self) -> Flags:
        """(H, W) where something was sent."""
        found: Flags = self.at_s > 0
        return found


class Scores(NamedTuple):
    """What became of the pushes of one policy, each (H, W)."""

    sent: Flags
    opened: Flags
    redeemed: Flags


def none_sent(world: World) -> Pushes:
    """Where a policy begins that is still to choose."""
    shape = (world.households, world.weeks)
    return Pushes(np.zeros(shape, np.int64), np.zeros(shape, np.int64))


def judge(world: World, pushes: Pushes) -> Scores:
    """Each push scored by its own windows; where nothing was sent nothing is opened or redeemed."""
    sent = pushes.sent()
    opened, redeemed = np.zeros_like(sent), np.zeros_like(sent)
    for household in range(world.households):
        ledger = world.ledger(household)
        moments_s = pushes.at_s[household]
        opened[household] = ledger.opens(moments_s)
        redeemed[household] = np.take_along_axis(ledger.redeems(moments_s), pushes.deals[household][:, None], axis=1)[
            :, 0
        ]
    return Scores(sent, opened & sent, redeemed & sent)


def oracle(world: World, pushes: Pushes) -> Flags:
    """(H, W) whether any deal at all would have been redeemed at the push's moment."""
    found = np.zeros(pushes.at_s.shape, np.bool_)
    for household in range(world.households):
        found[household] = world.ledger(household).redeems(pushes.at_s[household]).any(axis=1)
    return found & pushes.sent()
