"""The features of every offer for one person at one moment, written into a dense (offers, features) float32 array."""

from typing import Final

import numpy as np
from numba import types

from bandits.kernels.compile import boolean, f32_in, f32_out_2d, f64, kernel, void
from bandits.kernels.tastes import (
    BOUGHT_HALF_LIFE_S,
    INTEREST_HALF_LIFE_S,
    entries_in,
    half_life_factor,
    header_in,
    shown_at,
)

SHARE_PSEUDO_BASKETS: Final = 2.0
"""A person's share of baskets with a tag is shrunk to the population's as if this many baskets had been the population's."""

AHEAD_S: Final = 72 * 3600.0
"""The chance that something is bought is counted over the attribution window."""

NEWCOMER_BASKETS: Final = 1.0
NEWCOMER_S: Final = 6 * 86400.0
"""Until a person's own rate of baskets is known it is shrunk to one in six days."""

SOON_S: Final = 2 * 86400.0
LATER_S: Final = 10 * 86400.0

BIAS, CHANCE, CHANCE_SOON, CHANCE_LATER, CHANCE_TIRED, CHANCE_PESTERED, POPULAR, POPULAR_NEW = 0, 1, 2, 3, 4, 5, 6, 7
INTEREST, DISCOUNT, CHANCE_DISCOUNT, IN_BASKET, CHANCE_NEAR, CHANCE_COS, CHANCE_SIN, CHANCE_WET = range(8, 16)
DIMS: Final = 16

offer_tags: Final = types.Array(types.int16, 2, "C", readonly=True)
flags: Final = types.Array(types.boolean, 1, "C", readonly=True)


@kernel()
def _tag_index(entries: np.ndarray, used: int | np.int64, tag_count: int) -> np.ndarray:
    """(tags,) where the person's entry for each tag lies, -1 for none."""
    index = np.full(tag_count, -1, np.int16)
    for i in range(used):
        if entries[i].tag_id < tag_count:
            index[entries[i].tag_id] = i
    return index


@kernel()
def _bought_since(entries: np.ndarray, i: int, now_s: float, half_life_s: float) -> float:
    """1 for something bought just now, fading with the half-life; 0 for what was never bought."""
    return half_life_factor(now_s - entries[i].bought_s, half_life_s) if entries[i].bought_s > 0 else 0.0


@kernel()
def _mean_over_tags(
    tags: np.ndarray,
    entries: np.ndarray,
    index: np.ndarray,
    tag_shares: np.ndarray,
    baskets: float,
    bought_left: float,
    interest_left: float,
    now_s: float,
    is_personal: bool,
) -> tuple[float, float, float, float, float, float]:
    """Share, soon, later, popularity, interest and showings, each the mean over the offer's tags (a tag beyond `index` counts 0)."""
    share = soon = later = popular = interest = shown = 0.0
    count = 0
    for tag in tags:
        if tag < 0:
            break
        count += 1
        if tag >= index.shape[0]:
            continue
        bought = 0.0
        i = index[tag]
        if i >= 0 and is_personal:
            bought = entries[i].bought * bought_left
            interest += max(entries[i].interest, 0.0) * interest_left
            shown += shown_at(entries[i].shown, entries[i].shown_s, now_s)
            soon += _bought_since(entries, i, now_s, SOON_S)
            later += _bought_since(entries, i, now_s, LATER_S)
        others = float(tag_shares[tag]) if tag < tag_shares.shape[0] else 0.0
        popular += others
        share += (bought + SHARE_PSEUDO_BASKETS * others) / (baskets + SHARE_PSEUDO_BASKETS)
    part = 1.0 / max(count, 1)
    return share * part, soon * part, later * part, popular * part, interest * part, shown * part


@kernel()
def _unanswered(entries: np.ndarray, used: int | np.int64, now_s: float) -> float:
    """All showings the person has not answered, as they weigh at now_s."""
    total = 0.0
    for i in range(used):
        total += shown_at(entries[i].shown, entries[i].shown_s, now_s)
    return total


@kernel()
def _baskets_ahead(baskets: float, first_s: float, now_s: float) -> float:
    """Baskets expected in AHEAD_S by the person's own decayed rate.

    Of a steady rate r since first_s, decayed counts come to r h / ln 2 (1 - 2^(-t / h)) after a time t with half-life h.
    """
    known_s = 0.0
    if first_s > 0.0:
        known_s = BOUGHT_HALF_LIFE_S / np.log(2.0) * (1.0 - half_life_factor(now_s - first_s, BOUGHT_HALF_LIFE_S))
    return AHEAD_S * (baskets + NEWCOMER_BASKETS) / (known_s + NEWCOMER_S)


@kernel()
def _overlap(tags: np.ndarray, in_basket: np.ndarray) -> float:
    """Share of the offer's tags that the basket holds."""
    count = held = 0
    for tag in tags:
        if tag < 0:
            break
        count += 1
        if tag < in_basket.shape[0] and in_basket[tag]:
            held += 1
    return held / max(count, 1)


@kernel(
    void(header_in, entries_in, offer_tags, flags, f32_in, f32_in, flags, f64, f64, f64, boolean, f32_out_2d),
)
def featurize(
    header: np.ndarray,
    entries: np.ndarray,
    tags_of_offer: np.ndarray,
    is_personal: np.ndarray,
    discounts: np.ndarray,
    tag_shares: np.ndarray,
    in_basket: np.ndarray,
    now_s: float,
    hour_of_day: float,
    nearness: float,
    is_wet: bool,
    out: np.ndarray,
) -> None:
    """Fills out (offers, DIMS).

    Args:
        header: (1,) tastes.HEADER.
        entries: (n,) tastes.ENTRY, of which header.entries count.
        tags_of_offer: (offers, tags) tag ids, padded with -1.
        is_personal: (offers,) False where neither tastes nor basket may be used: the offer is scored as for a stranger.
        discounts: (offers,) share of the price that is given away, 0 to 1.
        tag_shares: (known tags,) share of the population's baskets with each tag; a tag beyond it has share 0.
        in_basket: (tags,) whether the basket the app told of holds the tag; a tag of an offer beyond it counts as unknown.
        now_s: seconds since 1970.
        hour_of_day: 0 to 24 of the person's own clock, or negative when unknown.
        nearness: 0 (far or unknown) to 1 (in the store).
        is_wet: whether it rains or snows.
        out: (offers, DIMS), in the order of features.NAMES.
    """
    used = np.int64(header[0].entries)
    index = _tag_index(entries, used, in_basket.shape[0])
    elapsed_s = now_s - header[0].as_of_s
    bought_left = half_life_factor(elapsed_s, BOUGHT_HALF_LIFE_S)
    interest_left = half_life_factor(elapsed_s, INTEREST_HALF_LIFE_S)
    own_baskets = header[0].baskets * bought_left
    own_ahead = _baskets_ahead(own_baskets, float(header[0].first_basket_s), now_s)
    pestered = _unanswered(entries, used, now_s)
    cosine = np.cos(hour_of_day * np.pi / 12.0) if hour_of_day >= 0.0 else 0.0
    sine = np.sin(hour_of_day * np.pi / 12.0) if hour_of_day >= 0.0 else 0.0
    for k in range(tags_of_offer.shape[0]):
        tags = tags_of_offer[k]
        baskets = own_baskets if is_personal[k] else 0.0
        ahead = own_ahead if is_personal[k] else _baskets_ahead(0.0, 0.0, now_s)
        share, soon, later, popular, interest, shown = _mean_over_tags(
            tags, entries, index, tag_shares, baskets, bought_left, interest_left, now_s, is_personal[k]
        )
        chance = 1.0 - np.exp(-ahead * share)
        out[k, BIAS] = 1.0
        out[k, CHANCE] = chance
        out[k, CHANCE_SOON] = chance * soon
        out[k, CHANCE_LATER] = chance * later
        out[k, CHANCE_TIRED] = chance * (1.0 - 2.0 ** (-shown))
        out[k, CHANCE_PESTERED] = chance * (pestered / (1.0 + pestered) if is_personal[k] else 0.0)
        out[k, POPULAR] = 1.0 - np.exp(-ahead * popular)
        out[k, POPULAR_NEW] = popular / (1.0 + baskets)
        out[k, INTEREST] = interest / (1.0 + interest)
        out[k, DISCOUNT] = discounts[k]
        out[k, CHANCE_DISCOUNT] = chance * discounts[k]
        out[k, IN_BASKET] = _overlap(tags, in_basket) if is_personal[k] else 0.0
        out[k, CHANCE_NEAR] = chance * nearness
        out[k, CHANCE_COS] = chance * cosine
        out[k, CHANCE_SIN] = chance * sine
        out[k, CHANCE_WET] = chance if is_wet else 0.0
