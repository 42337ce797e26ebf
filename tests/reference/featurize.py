"""The features of one offer for one person, written down as slowly and plainly as they are meant."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

DAY_S = 86400.0


class Entry(NamedTuple):
    """What is known of a person and a tag, as the packed state holds it."""

    shown: int = 0
    bought: float = 0.0
    interest: float = 0.0
    bought_s: int = 0
    shown_s: int = 0


class State(NamedTuple):
    baskets: float
    as_of_s: int
    first_basket_s: int
    entries: Mapping[int, Entry]


STRANGER = State(0.0, 0, 0, {})


class Moment(NamedTuple):
    now_s: float
    hour_of_day: float
    nearness: float
    is_wet: bool


def left_of(elapsed_s: float, half_life_days: float) -> float:
    return float(0.5 ** (max(elapsed_s, 0.0) / (half_life_days * DAY_S)))


def baskets_ahead(own: float, first_s: float, now_s: float) -> float:
    """In 72 hours, by the rate since the first basket; somebody new is taken to come once in six days."""
    known_days = 84 / math.log(2) * (1 - left_of(now_s - first_s, 84)) if first_s else 0.0
    return 3 * (own + 1) / (known_days + 6)


def features(
    state: State,
    tags: Sequence[int],
    is_personal: bool,
    discount: float,
    tag_shares: Mapping[int, float],
    basket: frozenset[int],
    moment: Moment,
) -> dict[str, float]:
    if not is_personal:
        state, basket = STRANGER, frozenset()
    now_s = moment.now_s
    old_s = now_s - state.as_of_s
    own = state.baskets * left_of(old_s, 84)
    ahead = baskets_ahead(own, state.first_basket_s, now_s)
    of_tag = [state.entries.get(tag, Entry()) for tag in tags]
    popular = [tag_shares.get(tag, 0.0) for tag in tags]
    share = mean([(e.bought * left_of(old_s, 84) + 2 * p) / (own + 2) for e, p in zip(of_tag, popular, strict=True)])
    soon = mean([left_of(now_s - e.bought_s, 2) if e.bought_s else 0.0 for e in of_tag])
    later = mean([left_of(now_s - e.bought_s, 10) if e.bought_s else 0.0 for e in of_tag])
    interest = mean([max(e.interest, 0.0) * left_of(old_s, 28) for e in of_tag])
    shown = mean([shown_now(e, now_s) for e in of_tag])
    all_shown = sum(shown_now(e, now_s) for e in state.entries.values())
    chance, angle = 1 - math.exp(-ahead * share), moment.hour_of_day / 24 * 2 * math.pi
    knows_hour = moment.hour_of_day >= 0
    return {
        "bias": 1.0,
        "chance": chance,
        "chance_soon": chance * soon,
        "chance_later": chance * later,
        "chance_tired": chance * (1 - 2**-shown),
        "chance_pestered": chance * all_shown / (1 + all_shown),
        "popular": 1 - math.exp(-ahead * mean(popular)),
        "popular_new": mean(popular) / (1 + own),
        "interest": interest / (1 + interest),
        "discount": discount,
        "chance_discount": chance * discount,
        "in_basket": mean([float(tag in basket) for tag in tags]),
        "chance_near": chance * moment.nearness,
        "chance_cos": chance * math.cos(angle) if knows_hour else 0.0,
        "chance_sin": chance * math.sin(angle) if knows_hour else 0.0,
        "chance_wet": chance * moment.is_wet,
    }


def shown_now(entry: Entry, now_s: float) -> float:
    return entry.shown / 1024 * left_of(now_s - entry.shown_s, 15)


def mean(values: Sequence[float]) -> float:
    return sum(values) / max(len(values), 1)
