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
    known_since_s: int
    pushed: float
    entries: Mapping[int, Entry]


STRANGER = State(0.0, 0, 0, 0.0, {})


class Moment(NamedTuple):
    now_s: float
    ahead_s: float
    hour_of_day: float
    nearness: float
    is_wet: bool


class People(NamedTuple):
    """What is known of everybody: shares of baskets by tag, of late and always, what goes with a tag and how well, usual gaps in days."""

    shares: Mapping[int, float]
    recent: Mapping[int, float] | None = None
    companions: Mapping[int, Mapping[int, float]] = {}
    cycles_s: Mapping[int, float] = {}


def left_of(elapsed_s: float, half_life_days: float) -> float:
    return float(0.5 ** (max(elapsed_s, 0.0) / (half_life_days * DAY_S)))


def known_days(first_s: float, now_s: float) -> float:
    return 84 / math.log(2) * (1 - left_of(now_s - first_s, 84)) if first_s else 0.0


def features(
    state: State,
    tags: Sequence[int],
    is_personal: bool,
    discount: float,
    people: People,
    basket: frozenset[int],
    moment: Moment,
) -> dict[str, float]:
    if not is_personal:
        state, basket = STRANGER, frozenset()
    now_s = moment.now_s
    old_s = now_s - state.as_of_s
    own = state.baskets * left_of(old_s, 84)
    days = known_days(state.known_since_s, now_s)
    ahead = moment.ahead_s / DAY_S * (own + 1) / (days + 6)
    of_tag = [state.entries.get(tag, Entry()) for tag in tags]
    bought = [entry.bought * left_of(old_s, 84) for entry in of_tag]
    popular, recent = share_of(tags, people.shares), share_of(tags, people.recent or {})
    share = (mean(bought) + 2 * popular) / (own + 2)
    chance = min(max(1 - math.exp(-ahead * share), 1e-5), 0.98)
    if ahead * share < 1e-3:  # 1 - exp(-x) loses what the logarithm needs
        chance = max(ahead * share * (1 - ahead * share / 2), 1e-5)
    tired = mean([entry.shown / 1024 * left_of(now_s - entry.shown_s, 15) for entry in of_tag])
    interest = mean([max(entry.interest, 0.0) * left_of(old_s, 28) for entry in of_tag])
    pushed = max(state.pushed, 0.0) * left_of(old_s, 15)
    angle = moment.hour_of_day / 24 * 2 * math.pi
    knows_hour = moment.hour_of_day >= 0
    return {
        "bias": 1.0,
        "lp": math.log(chance / (1 - chance)) + 3,
        "soon": mean([left_of(now_s - e.bought_s, 3) if e.bought_s else 0.0 for e in of_tag]),
        "later": mean([left_of(now_s - e.bought_s, 14) if e.bought_s else 0.0 for e in of_tag]),
        "season": 0.0 if people.recent is None else min(max(math.log(recent / popular), -3), 3),
        "lpop": math.log(popular) + 3.7,
        "tired": tired / (1 + tired),
        "pestered": pushed / (1 + pushed),
        "interest": interest / (1 + interest),
        "discount": discount,
        "in_basket": mean([float(tag in basket) for tag in tags]),
        "goes_with": goes_with(state, tags, people, basket, now_s) if is_personal else 0.0,
        "due": mean(
            [
                due(amount, now_s - entry.bought_s, days * DAY_S, people.cycles_s.get(tag, 0.0))
                if entry.bought_s
                else 0.0
                for tag, entry, amount in zip(tags, of_tag, bought, strict=True)
            ]
        ),
        "near": moment.nearness,
        "cos": math.cos(angle) if knows_hour else 0.0,
        "sin": math.sin(angle) if knows_hour else 0.0,
        "wet": float(moment.is_wet),
    }


def share_of(tags: Sequence[int], shares: Mapping[int, float]) -> float:
    """What nobody has bought is new, and taken for something that is in every two hundredth basket."""
    found = [shares.get(tag, 0.0) for tag in tags]
    return mean([max(share, 0.0005) if share else 0.005 for share in found]) if found else 0.005


def goes_with(state: State, tags: Sequence[int], people: People, basket: frozenset[int], now_s: float) -> float:
    def recency(tag: int) -> float:
        entry = state.entries.get(tag, Entry())
        return 1.0 if tag in basket else left_of(now_s - entry.bought_s, 1) if entry.bought_s else 0.0

    again = max((recency(tag) for tag in tags), default=0.0)
    strongest = [
        max((lift * recency(other) for other, lift in people.companions.get(tag, {}).items()), default=0.0)
        for tag in tags
    ]
    strength = (1 - again) * mean(strongest)
    return strength / (1 + strength)


def due(bought: float, age_s: float, known_s: float, cycle_s: float) -> float:
    if not cycle_s or not bought:
        return 0.0
    gaps = max(age_s, 0.0) / ((known_s + 2 * cycle_s) / (bought + 2))
    return gaps * math.exp(1 - gaps)


def mean(values: Sequence[float]) -> float:
    return sum(values) / max(len(values), 1)
