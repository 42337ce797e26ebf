"""The kernel of features against its slow twin, and features that are finite whatever comes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bandits import features
from bandits.kernels.featurize import featurize
from bandits.kernels.tastes import CAPACITY, ENTRY, HEADER
from schema.offer import TAGS_PER_OFFER_MAX
from tests.reference import featurize as reference
from tests.reference.featurize import STRANGER, Entry, Moment, People, State

NOW_S = 1_772_443_800
WINDOW_S = 72 * 3600.0
TAGS = 10
COMPANIONS = 3

instants = st.just(0) | st.integers(NOW_S - 400 * 86_400, NOW_S + 86_400)
amounts = st.floats(0, 200, width=32)
tag_ids = st.integers(0, TAGS + 3)
entries_of_tags = st.dictionaries(
    tag_ids,
    st.builds(Entry, st.integers(0, 65_535), amounts, st.floats(-200, 200, width=32), instants, instants),
    max_size=8,
)
offers = st.tuples(
    st.lists(tag_ids, max_size=TAGS_PER_OFFER_MAX, unique=True),
    st.booleans(),
    st.floats(0, 1, width=32),
)
moments = st.builds(
    Moment,
    st.sampled_from([0.0, 1.0, float(NOW_S), NOW_S + 0.25, 4e9, 2.5e11]),
    st.sampled_from([3600.0, WINDOW_S, 7 * 86_400.0]),
    st.sampled_from([-1.0, 0.0, 5.0, 23.0]),
    st.sampled_from([0.0, 1e-300, 0.5, 1.0]),
    st.booleans(),
)
states = st.builds(State, amounts, instants, instants, st.floats(-1, 50, width=32), entries_of_tags)
shares = st.lists(st.just(0.0) | st.floats(2**-20, 1, width=32), min_size=TAGS + 2, max_size=TAGS + 2)
lifts = st.dictionaries(st.integers(0, TAGS - 1), st.floats(0, 5, width=32), max_size=COMPANIONS)
crowds = st.builds(
    lambda share, recent, companions, cycles: People(
        dict(enumerate(share)), None if recent is None else dict(enumerate(recent)), companions, cycles
    ),
    shares,
    st.none() | shares,
    st.dictionaries(st.integers(0, TAGS - 1), lifts, max_size=4),
    st.dictionaries(st.integers(0, TAGS - 1), st.floats(0, 1e7, width=32), max_size=4),
)


def packed(state: State) -> tuple[NDArray[np.void], NDArray[np.void]]:
    header, entries = np.zeros(1, HEADER), np.zeros(CAPACITY, ENTRY)
    header["baskets"], header["as_of_s"], header["entries"] = state.baskets, state.as_of_s, len(state.entries)
    header["known_since_s"], header["pushed"] = state.known_since_s, state.pushed
    for place, (tag, entry) in enumerate(state.entries.items()):
        entries[place]["tag_id"] = tag
        for name, value in entry._asdict().items():
            entries[place][name] = value
    return header, entries


def by_tag(values: dict[int, float], size: int) -> NDArray[np.float32]:
    return np.array([values.get(tag, 0.0) for tag in range(size)], np.float32)


def compute(
    state: State,
    shelf: list[tuple[list[int], bool, float]],
    people: People,
    basket: frozenset[int],
    moment: Moment,
    tags: int = TAGS,
) -> NDArray[np.float32]:
    padded = np.full((len(shelf), TAGS_PER_OFFER_MAX), -1, np.int16)
    for row, (ids, _, _) in zip(padded, shelf, strict=True):
        row[: len(ids)] = ids
    known = max(people.shares, default=-1) + 1
    mapped = TAGS if people.companions or people.cycles_s else 0
    companions, lift = np.full((mapped, COMPANIONS), -1, np.int16), np.zeros((mapped, COMPANIONS), np.float32)
    for tag, others in people.companions.items():
        companions[tag, : len(others)], lift[tag, : len(others)] = list(others), list(others.values())
    out = np.full((len(shelf), features.DIMS), np.nan, np.float32)
    featurize(
        *packed(state),
        padded,
        np.array([is_personal for _, is_personal, _ in shelf], np.bool_),
        np.array([discount for _, _, discount in shelf], np.float32),
        by_tag(dict(people.shares), known),
        np.zeros(0, np.float32) if people.recent is None else by_tag(dict(people.recent), known),
        companions,
        lift,
        by_tag(dict(people.cycles_s), mapped),
        np.isin(np.arange(tags), list(basket)),
        *moment,
        out,
    )
    return out


@settings(max_examples=150, deadline=None)
@given(
    states,
    st.lists(offers, min_size=1, max_size=5),
    crowds,
    st.frozensets(st.integers(0, TAGS - 1)),
    moments,
)
def test_features_are_the_twin_s(
    state: State,
    shelf: list[tuple[list[int], bool, float]],
    people: People,
    basket: frozenset[int],
    moment: Moment,
) -> None:
    out = compute(state, shelf, people, basket, moment)
    assert np.isfinite(out).all()
    lowest, highest = features.RANGES
    assert ((out >= lowest - 1e-5) & (out <= highest + 1e-5)).all()
    for row, (tags, is_personal, discount) in zip(out, shelf, strict=True):
        if max(tags, default=0) < TAGS:
            twin = reference.features(state, tags, is_personal, discount, people, basket, moment)
            assert row == pytest.approx([twin[name] for name in features.NAMES], rel=2e-5, abs=1e-6)


NOON = Moment(float(NOW_S), WINDOW_S, 12.0, 0.0, is_wet=False)
EVERYBODY = People({1: 0.3, 2: 0.2})
DAY_S = 86_400


def of(out: NDArray[np.float32], name: str) -> float:
    return float(out[0, features.NAMES.index(name)])


def one(
    state: State, tags: list[int], people: People = EVERYBODY, basket: frozenset[int] = frozenset()
) -> dict[str, float]:
    out = compute(state, [(tags, True, 0.0)], people, basket, NOON)
    return dict(zip(features.NAMES, map(float, out[0]), strict=True))


def test_who_is_impersonal_is_a_stranger() -> None:
    state = State(10.0, NOW_S, NOW_S - DAY_S, 3.0, {1: Entry(2048, 9.0, 4.0, NOW_S - 60, NOW_S - 60)})
    shelf = [([1, 2], False, 0.1)]
    people = People({0: 0.1, 1: 0.3, 2: 0.2}, None, {2: {1: 2.0}}, {1: 86_400.0})
    told = compute(state, shelf, people, frozenset({1}), NOON)
    assert np.array_equal(told, compute(STRANGER, shelf, people, frozenset(), NOON))


def test_own_purchases_count_before_the_population_knows_the_tag() -> None:
    bought = State(4.0, NOW_S, NOW_S, 0.0, {1: Entry(bought=4.0, bought_s=NOW_S)})
    told = one(bought, [1], People({}), frozenset({1}))
    assert told["lp"] > 3
    assert told["in_basket"] == 1.0


def test_the_habit_is_the_log_odds_of_a_purchase_in_the_window() -> None:
    """One basket in two days for a long time, every second one with milk: in three days 1 - e^(-0.75)."""
    rate = 84 / math.log(2) / 2
    state = State(rate, NOW_S, NOW_S - 5_000 * DAY_S, 0.0, {1: Entry(bought=rate / 2)})
    chance = 1 - math.exp(-0.75)
    assert one(state, [1])["lp"] - 3 == pytest.approx(math.log(chance / (1 - chance)), abs=0.1)


def test_a_tag_nobody_knows_shares_the_offer_s_weight() -> None:
    out = compute(STRANGER, [([1, 9], True, 0.0)], People({0: 0.0, 1: 0.4}), frozenset(), NOON, tags=2)
    assert of(out, "lpop") == pytest.approx(math.log((0.4 + 0.005) / 2) + 3.7)


def test_what_is_new_is_not_taken_for_what_nobody_wants() -> None:
    people = People({1: 0.3, 2: 1e-6})
    assert one(STRANGER, [1], people)["lp"] > one(STRANGER, [7], people)["lp"] > one(STRANGER, [2], people)["lp"]


def test_fatigue_and_pushes_recover_with_time() -> None:
    def at(days: float) -> dict[str, float]:
        seen_s = int(NOW_S - days * DAY_S)
        return one(State(1.0, seen_s, seen_s, 4.0, {1: Entry(shown=2048, shown_s=seen_s)}), [1])

    assert (at(0)["tired"], at(0)["pestered"]) == pytest.approx((2 / 3, 4 / 5))
    assert (at(15)["tired"], at(15)["pestered"]) == pytest.approx((1 / 2, 2 / 3))
    assert at(150)["tired"] < 0.002
    assert one(State(1.0, NOW_S, NOW_S, 4.0, {1: Entry(shown=2048, shown_s=NOW_S)}), [2])["tired"] == 0


def test_what_sells_of_late_is_in_season() -> None:
    assert one(STRANGER, [1], People({1: 0.1}, {1: 0.2}))["season"] == pytest.approx(math.log(2), rel=1e-5)
    assert one(STRANGER, [1], People({1: 0.1}))["season"] == 0


def test_bread_calls_for_butter_and_not_for_bread() -> None:
    people = People({1: 0.1, 2: 0.1}, None, {1: {2: 1.5}, 2: {1: 1.5}})
    bread = State(1.0, NOW_S, NOW_S, 0.0, {1: Entry(bought=1.0, bought_s=NOW_S)})
    assert one(bread, [2], people)["goes_with"] == pytest.approx(1.5 / 2.5)
    assert one(bread, [1], people)["goes_with"] == 0
