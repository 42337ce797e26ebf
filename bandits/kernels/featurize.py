"""The features of every offer for one person at one moment, written into a dense (offers, features) float32 array.

Columns are made for log-odds: the chance of a purchase by habit enters as its own log-odds, what is rare or popular as a logarithm, what
fades as a share between 0 and 1. docs/decisions/0004 has the measurements behind them.
"""

from typing import Final

import numpy as np
from numba import types

from bandits.kernels.companions import due, goes_with, recent
from bandits.kernels.compile import (
    boolean,
    f32_in,
    f32_in_2d,
    f32_out_2d,
    f64,
    f64_in_2d,
    i16_in_2d,
    kernel,
    void,
)
from bandits.kernels.popularity import IN_SEASON, POPULAR, POPULAR_LOG, POPULARITY, popularity
from bandits.kernels.tastes import (
    BOUGHT_HALF_LIFE_S,
    INTEREST_HALF_LIFE_S,
    entries_in,
    half_life_factor,
    header_in,
    pushed_at,
    shown_at,
)

SHARE_PSEUDO_BASKETS: Final = 2.0
"""A person's share of baskets with a tag is shrunk to the population's as if this many baskets had been the population's."""

CHANCE_MIN: Final = 1e-5
CHANCE_MAX: Final = 0.98

LOG_ODDS_CENTRE: Final = -3.0
"""So that the bias is that of a middling offer."""

NEWCOMER_BASKETS: Final = 1.0
NEWCOMER_S: Final = 6 * 86400.0
"""Until a person's own rate of baskets is known it is shrunk to one in six days."""

SOON_S: Final = 3 * 86400.0
LATER_S: Final = 14 * 86400.0

BIAS, LP, SOON, LATER, SEASON, LPOP, TIRED, PESTERED = 0, 1, 2, 3, 4, 5, 6, 7
INTEREST, DISCOUNT, IN_BASKET, GOES_WITH, DUE, NEAR, COS, SIN, WET = range(8, 17)
DIMS: Final = 17

BOUGHT, SINCE_SOON, SINCE_LATER, LIKED, SHOWN, IS_DUE = range(6)
_FACTS: Final = 6

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
def _facts(
    header: np.ndarray, entries: np.ndarray, used: int | np.int64, known_s: float, cycles_s: np.ndarray, now_s: float
) -> np.ndarray:
    """(entries, facts): what is known of the person and each tag, as it weighs at now_s."""
    elapsed_s = now_s - header[0].as_of_s
    bought_left = half_life_factor(elapsed_s, BOUGHT_HALF_LIFE_S)
    interest_left = half_life_factor(elapsed_s, INTEREST_HALF_LIFE_S)
    facts = np.zeros((used, _FACTS))
    for i in range(used):
        bought = entries[i].bought * bought_left
        tag = np.int64(entries[i].tag_id)
        facts[i, BOUGHT] = bought
        facts[i, LIKED] = max(entries[i].interest, 0.0) * interest_left
        facts[i, SHOWN] = shown_at(entries[i].shown, entries[i].shown_s, now_s)
        if entries[i].bought_s > 0:
            age_s = now_s - entries[i].bought_s
            cycle_s = float(cycles_s[tag]) if tag < cycles_s.shape[0] else 0.0
            facts[i, SINCE_SOON] = half_life_factor(age_s, SOON_S)
            facts[i, SINCE_LATER] = half_life_factor(age_s, LATER_S)
            facts[i, IS_DUE] = due(bought, age_s, known_s, cycle_s)
    return facts


@kernel(counts=False)
def _mean_over_tags(
    tags: np.ndarray,
    offer: int,
    facts: np.ndarray,
    index: np.ndarray,
    tag_count: int,
    is_personal: bool,
    out: np.ndarray,
) -> None:
    """Write the mean of each fact over the offer's tags; a tag that is not known counts 0, as does everything of a stranger."""
    for j in range(_FACTS):
        out[j] = 0.0
    count = 0
    for place in range(tags.shape[1]):
        tag = tags[offer, place]
        if tag < 0:
            break
        count += 1
        if is_personal and tag < tag_count and index[tag] >= 0:
            for j in range(_FACTS):
                out[j] += facts[index[tag], j]
    for j in range(_FACTS):
        out[j] /= max(count, 1)


@kernel()
def _known_s(first_s: float, now_s: float) -> float:
    """The decayed time since the first thing known of the person, h / ln 2 (1 - 2^(-t / h)): decayed counts of a steady rate are the rate times this."""
    if first_s <= 0.0:
        return 0.0
    return float(BOUGHT_HALF_LIFE_S / np.log(2.0) * (1.0 - half_life_factor(now_s - first_s, BOUGHT_HALF_LIFE_S)))


@kernel()
def _baskets_ahead(baskets: float, known_s: float, ahead_s: float) -> float:
    """Baskets expected in ahead_s by the person's own decayed rate."""
    return ahead_s * (baskets + NEWCOMER_BASKETS) / (known_s + NEWCOMER_S)


@kernel()
def _log_odds(expected: float) -> float:
    """Log-odds of at least one of so many expected purchases, ln(e^x - 1), cut at CHANCE_MIN and CHANCE_MAX."""
    lowest, highest = np.log(CHANCE_MIN / (1.0 - CHANCE_MIN)), np.log(CHANCE_MAX / (1.0 - CHANCE_MAX))
    return float(min(max(np.log(np.expm1(min(max(expected, 1e-9), 10.0))), lowest), highest))


@kernel(counts=False)
def _overlap(tags: np.ndarray, offer: int, in_basket: np.ndarray) -> float:
    """Share of the offer's tags that the basket holds."""
    count = held = 0
    for place in range(tags.shape[1]):
        tag = tags[offer, place]
        if tag < 0:
            break
        count += 1
        if tag < in_basket.shape[0] and in_basket[tag]:
            held += 1
    return held / max(count, 1)


@kernel()
def _on_the_clock(hour_of_day: float) -> tuple[float, float]:
    """Cosine and sine of the hour's angle; 0 and 0 when it is unknown."""
    if hour_of_day >= 0.0:
        return np.cos(hour_of_day * np.pi / 12.0), np.sin(hour_of_day * np.pi / 12.0)
    return 0.0, 0.0


@kernel(counts=False)
def _write_tastes(
    of_offer: np.ndarray, popular: float, baskets: float, ahead: float, offer: int, out: np.ndarray
) -> None:
    """The columns of what the person bought, saw and liked, from the facts of the offer's tags and the baskets that are expected."""
    share = (of_offer[BOUGHT] + SHARE_PSEUDO_BASKETS * popular) / (baskets + SHARE_PSEUDO_BASKETS)
    out[offer, LP] = _log_odds(ahead * share) - LOG_ODDS_CENTRE
    out[offer, SOON] = of_offer[SINCE_SOON]
    out[offer, LATER] = of_offer[SINCE_LATER]
    out[offer, TIRED] = of_offer[SHOWN] / (1.0 + of_offer[SHOWN])
    out[offer, INTEREST] = of_offer[LIKED] / (1.0 + of_offer[LIKED])
    out[offer, DUE] = of_offer[IS_DUE]


@kernel(counts=False)
def _write_moment(cosine: float, sine: float, nearness: float, is_wet: bool, offer: int, out: np.ndarray) -> None:
    """The columns of the moment, alike for all offers."""
    out[offer, NEAR] = nearness
    out[offer, COS] = cosine
    out[offer, SIN] = sine
    out[offer, WET] = 1.0 if is_wet else 0.0


@kernel(
    void(
        header_in, entries_in, i16_in_2d, flags, f32_in, f64_in_2d, i16_in_2d, f32_in_2d, f32_in, flags,
        f64, f64, f64, f64, boolean, f32_out_2d,
    )
)  # fmt: skip  # arrays, then numbers
def featurize_known(
    header: np.ndarray,
    entries: np.ndarray,
    tags_of_offer: np.ndarray,
    is_personal: np.ndarray,
    discounts: np.ndarray,
    of_people: np.ndarray,
    companions: np.ndarray,
    lifts: np.ndarray,
    cycles_s: np.ndarray,
    in_basket: np.ndarray,
    now_s: float,
    ahead_s: float,
    hour_of_day: float,
    nearness: float,
    is_wet: bool,
    out: np.ndarray,
) -> None:
    """As `featurize`, with what `popularity` made of the population, (offers, POPULARITY)."""
    used, tag_count = np.int64(header[0].entries), in_basket.shape[0]
    index = _tag_index(entries, used, tag_count)
    known_s = _known_s(float(header[0].known_since_s), now_s)
    facts = _facts(header, entries, used, known_s, cycles_s, now_s)
    own_baskets = header[0].baskets * half_life_factor(now_s - header[0].as_of_s, BOUGHT_HALF_LIFE_S)
    own_ahead = _baskets_ahead(own_baskets, known_s, ahead_s)
    pushed = pushed_at(header, now_s)
    recency, of_offer = np.zeros(tag_count), np.zeros(_FACTS)
    if companions.shape[0] > 0:
        recent(entries, used, in_basket, now_s, recency)
    cosine, sine = _on_the_clock(hour_of_day)
    newcomer_ahead = _baskets_ahead(0.0, 0.0, ahead_s)
    pestered = pushed / (1.0 + pushed)
    out[:] = 0.0
    for k in range(tags_of_offer.shape[0]):
        _mean_over_tags(tags_of_offer, k, facts, index, tag_count, is_personal[k], of_offer)
        baskets, ahead = 0.0, newcomer_ahead
        if is_personal[k]:
            baskets, ahead = own_baskets, own_ahead
            out[k, PESTERED], out[k, IN_BASKET] = pestered, _overlap(tags_of_offer, k, in_basket)
            out[k, GOES_WITH] = goes_with(tags_of_offer, k, recency, companions, lifts)
        out[k, BIAS] = 1.0
        out[k, SEASON], out[k, LPOP] = of_people[k, IN_SEASON], of_people[k, POPULAR_LOG]
        out[k, DISCOUNT] = discounts[k]
        _write_tastes(of_offer, of_people[k, POPULAR], baskets, ahead, k, out)
        _write_moment(cosine, sine, nearness, is_wet, k, out)


@kernel(
    void(
        header_in, entries_in, i16_in_2d, flags, f32_in, f32_in, f32_in, i16_in_2d, f32_in_2d, f32_in, flags,
        f64, f64, f64, f64, boolean, f32_out_2d,
    )
)  # fmt: skip  # arrays, then numbers
def featurize(
    header: np.ndarray,
    entries: np.ndarray,
    tags_of_offer: np.ndarray,
    is_personal: np.ndarray,
    discounts: np.ndarray,
    tag_shares: np.ndarray,
    recent_shares: np.ndarray,
    companions: np.ndarray,
    lifts: np.ndarray,
    cycles_s: np.ndarray,
    in_basket: np.ndarray,
    now_s: float,
    ahead_s: float,
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
        tag_shares: (known tags,) share of the population's baskets with each tag; a tag beyond it is new.
        recent_shares: (known tags,) the same of the last weeks; shorter (empty) where not known, and nothing is then in season.
        companions: (mapped tags, n) tags that go with each, padded with -1; none where nothing is known of that.
        lifts: (mapped tags, n) how much each goes with it.
        cycles_s: (mapped tags,) the usual time between two purchases, 0 when unknown.
        in_basket: (tags,) whether the basket the app told of holds the tag; a tag of an offer beyond it counts as unknown.
        now_s: seconds since 1970.
        ahead_s: the chance that something is bought is that within so many seconds: the attribution window.
        hour_of_day: 0 to 24 of the person's own clock, or negative when unknown.
        nearness: 0 (far or unknown) to 1 (in the store).
        is_wet: whether it rains or snows.
        out: (offers, DIMS), in the order of features.NAMES.
    """
    of_people = np.empty((tags_of_offer.shape[0], POPULARITY))
    popularity(tags_of_offer, tag_shares, recent_shares, of_people)
    featurize_known(
        header, entries, tags_of_offer, is_personal, discounts, of_people, companions, lifts, cycles_s, in_basket,
        now_s, ahead_s, hour_of_day, nearness, is_wet, out,
    )  # fmt: skip  # arrays, then numbers
