"""The value of a whole slate: the sum over its slots of each slot's own estimate.

Item-position assumption (independent IPS of Li et al. 2018, Offline evaluation of ranking policies with click models): the reward of
a slot depends on its own item and the context, not on the items beside it. Where a click on one slot takes those of others away,
the sum is biased; only whole-slate weights would not be, and theirs explode.
"""

import numpy as np

from bandits.evaluation.estimate import I64, Estimate, plain, summed


def per_slate(estimate: Estimate, position: I64, slate_id: I64 | None = None) -> Estimate:
    """The sum over slots of the slots' values (each normalised by itself), from the estimate of the rows.

    Each row contributes the sum plus its own deviation, so that intervals are as of any mean. With slate_id (n,) rows of one slate
    are one contribution; without it rows count as independent.
    """
    slots = summed(estimate.normaliser, position)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = summed(estimate.contributions, position) / slots
        deviations = (estimate.contributions - values[position] * estimate.normaliser) / slots[position]
    seen = np.bincount(position) > 0
    total = float(values[seen].sum())
    rows = len(position)
    span = estimate.span * rows / float(slots[seen].min()) if slots[seen].min() > 0.0 else float("inf")
    if slate_id is None:
        return plain(total + rows * deviations, span)
    slates = int(slate_id.max()) + 1
    longest = int(np.bincount(slate_id).max())
    return plain(total + slates * summed(deviations, slate_id), span * longest * slates / rows)
