"""What the population makes of every offer: the part of the features that is the same whoever is asking."""

from typing import Final

import numpy as np

from bandits.kernels.compile import f32_in, f64_out_2d, i16_in_2d, kernel, void

NEW_SHARE: Final = 0.005
"""What is taken for the population's share of a tag that nobody has bought yet: it is new, not unpopular."""
SHARE_MIN: Final = 0.0005

LOG_SHARE_CENTRE: Final = -3.7
"""So that the bias is that of a middling offer."""

SEASON_MAX: Final = 3.0

POPULAR, POPULAR_LOG, IN_SEASON = range(3)
POPULARITY: Final = 3


@kernel()
def _mean_share(tags: np.ndarray, shares: np.ndarray) -> float:
    """The population's share of baskets, mean over the offer's tags."""
    total = 0.0
    count = 0
    for tag in tags:
        if tag < 0:
            break
        count += 1
        share = float(shares[tag]) if tag < shares.shape[0] else 0.0
        total += max(share, SHARE_MIN) if share > 0.0 else NEW_SHARE
    return total / count if count > 0 else NEW_SHARE


@kernel()
def _season(share: float, recent_share: float) -> float:
    return float(min(max(np.log(recent_share / share), -SEASON_MAX), SEASON_MAX))


@kernel(void(i16_in_2d, f32_in, f32_in, f64_out_2d))
def popularity(tags_of_offer: np.ndarray, tag_shares: np.ndarray, recent_shares: np.ndarray, out: np.ndarray) -> None:
    """What the features of every offer have of the population, whoever is asking: made once for a snapshot and a catalogue.

    Args:
        tags_of_offer: (offers, tags) tag ids, padded with -1.
        tag_shares: (known tags,) share of the population's baskets with each tag; a tag beyond it is new.
        recent_shares: (known tags,) the same of the last weeks; shorter (empty) where not known, and nothing is then in season.
        out: (offers, 3) share of baskets, mean over the tags, and the columns LPOP and SEASON.
    """
    knows_season = recent_shares.shape[0] == tag_shares.shape[0]
    for k in range(tags_of_offer.shape[0]):
        popular = _mean_share(tags_of_offer[k], tag_shares)
        out[k, POPULAR] = popular
        out[k, POPULAR_LOG] = np.log(popular) - LOG_SHARE_CENTRE
        out[k, IN_SEASON] = _season(popular, _mean_share(tags_of_offer[k], recent_shares)) if knows_season else 0.0
