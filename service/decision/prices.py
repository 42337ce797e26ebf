"""Shadow prices in a decision: how far an allowance is ahead of time, and what that takes off the value of each offer."""

from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from bandits.policies import pacing
from schema.allowance import ShownAllowance
from schema.decision import DecisionInputs
from service.store.allowances import NO_LIMIT, Allowance, Pace
from service.store.catalogue import Catalogue

PRICED_MAX: Final = 14
"""The highest prices of a decision; a decision is logged within 4 KiB, and the rest are kept by their limits all the same."""


def ahead_of(known: Allowance, now: datetime) -> float:
    """How far the taking of an allowance is ahead of time; 0 for one that has no end, or where there is nothing to be taken."""
    if known.ends_at is None or known.ends_at <= now or (known.count_left == known.minor_left == NO_LIMIT):
        return 0.0
    count_left, minor_left = known.pace.count_left, known.pace.minor_left
    if known.pace.at is None or count_left is None or minor_left is None:
        return known.pace.ahead
    taken = max(pacing.log_ratio(count_left, known.count_left), pacing.log_ratio(minor_left, known.minor_left))
    time_left_s = (known.ends_at - now).total_seconds()
    passed = pacing.log_ratio((known.ends_at - known.pace.at).total_seconds(), time_left_s)
    return pacing.ahead(known.pace.ahead, taken, max(passed, 0.0))


def pace_after(known: Allowance, count: int, minor: int, now: datetime) -> Pace:
    """How an allowance stands once so much more of it is promised."""
    count_left, minor_left = known.count_left - count, known.minor_left - minor
    taken = max(pacing.log_ratio(known.count_left, count_left), pacing.log_ratio(known.minor_left, minor_left))
    return Pace(pacing.ahead(ahead_of(known, now), taken, 0.0), now, count_left, minor_left)


def shown(known: Allowance, now: datetime) -> ShownAllowance:
    """An allowance as its operator sees it."""
    return ShownAllowance(
        redemptions_max=known.redemptions_max,
        redemptions_left=None if known.redemptions_max is None else max(known.count_left, 0),
        budget_minor=known.budget_minor,
        budget_left_minor=None if known.budget_minor is None else max(known.minor_left, 0),
        reserved=known.reserved,
        reserved_minor=known.reserved_minor,
        redeemed=known.redeemed,
        redeemed_minor=known.redeemed_minor,
        shadow_price=pacing.price(ahead_of(known, now)),
    )


def prices_of(catalogue: Catalogue, given: DecisionInputs) -> npt.NDArray[np.float64] | None:
    """What is subtracted from the value of each offer (offers,), in the unit of the values; None where nothing is.

    A price is told in what a redemption is worth: to a campaign by its values, where the gain counts the margin of the offer.
    """
    if not given.prices and given.cost_price == 0.0:
        return None
    shares = given.cost_price * catalogue.cost_minor.astype(np.float64)
    for offer_id, share in given.prices:
        shares[catalogue.index_by_id[offer_id]] += share
    if given.gain is None:
        return shares * max(given.rules.values)
    margins: npt.NDArray[np.float64] = np.array(
        [max(one.offer.margin_minor, 0) for one in catalogue.offers], np.float64
    )
    return shares * margins
