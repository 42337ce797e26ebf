"""What goes with what a person has just bought, and what they are due to buy again. Called from featurize, which compiles them in."""

from typing import Final

import numpy as np

from bandits.kernels.compile import kernel
from bandits.kernels.tastes import half_life_factor

RECENT_HALF_LIFE_S: Final = 86400.0
"""How soon a purchase stops calling for what goes with it."""

OWN_GAP_PSEUDO_BASKETS: Final = 2.0
"""A person's own gap between purchases is shrunk to the cycle of the tag as if this many purchases had followed that."""


@kernel(counts=False)
def recent(entries: np.ndarray, used: int | np.int64, in_basket: np.ndarray, now_s: float, out: np.ndarray) -> None:
    """Write how recent each tag is: 1 in the basket the app told of, else fading since it was last bought.

    Args:
        entries: tastes.ENTRY records, of which `used` count.
        used: see above.
        in_basket: (tags,) as in featurize.
        now_s: seconds since 1970.
        out: (tags,) as long as in_basket.
    """
    for tag in range(out.shape[0]):
        out[tag] = 1.0 if in_basket[tag] else 0.0
    for i in range(used):
        bought = np.int64(entries[i].tag_id)
        if bought < out.shape[0] and entries[i].bought_s > 0:
            out[bought] = max(out[bought], half_life_factor(now_s - entries[i].bought_s, RECENT_HALF_LIFE_S))


@kernel(counts=False)
def goes_with(tags: np.ndarray, offer: int, recency: np.ndarray, companions: np.ndarray, lifts: np.ndarray) -> float:
    """How well an offer goes with what was just bought, in [0, 1); 0 for the same thing again.

    Args:
        tags: (offers, n) of all offers, padded with -1.
        offer: which of them.
        recency: (tags,) of `recent`.
        companions: (known tags, n) the tags that go with each, padded with -1.
        lifts: (known tags, n) the log of how much likelier each is in one basket with it.
    """
    total = again = 0.0
    count = 0
    for place in range(tags.shape[1]):
        tag = tags[offer, place]
        if tag < 0:
            break
        count += 1
        if tag < recency.shape[0]:
            again = max(again, recency[tag])
        if tag < companions.shape[0]:
            total += _strongest(tag, recency, companions, lifts)
    strength = (1.0 - again) * total / max(count, 1)
    return strength / (1.0 + strength)


@kernel(counts=False)
def _strongest(tag: int, recency: np.ndarray, companions: np.ndarray, lifts: np.ndarray) -> float:
    strongest = 0.0
    for place in range(companions.shape[1]):
        other = companions[tag, place]
        if 0 <= other < recency.shape[0]:
            strongest = max(strongest, lifts[tag, place] * recency[other])
    return strongest


@kernel()
def due(bought: float, age_s: float, known_s: float, cycle_s: float) -> float:
    """Whether it is time to buy a thing again: x exp(1 - x), x the time since the last purchase in gaps of the person; at most 1.

    Args:
        bought: decayed count of the person's baskets with the tag.
        age_s: time since the last of them.
        known_s: decayed time over which `bought` was counted.
        cycle_s: the usual gap of this tag; 0 when it is not known, and the answer then is 0.
    """
    if cycle_s <= 0.0 or bought <= 0.0:
        return 0.0
    gap_s = (known_s + OWN_GAP_PSEUDO_BASKETS * cycle_s) / (bought + OWN_GAP_PSEUDO_BASKETS)
    gaps = max(age_s, 0.0) / gap_s
    return float(gaps * np.exp(1.0 - gaps))
