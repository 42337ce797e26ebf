"""The kernel of features against its slow twin, and features that are finite whatever comes."""

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
from tests.reference.featurize import STRANGER, Entry, Moment, State

NOW_S = 1_772_443_800
TAGS = 10

instants = st.just(0) | st.integers(NOW_S - 400 * 86_400, NOW_S + 86_400)
amounts = st.floats(0, 200, width=32)
entries_of_tags = st.dictionaries(
    st.integers(0, TAGS + 3),
    st.builds(Entry, st.integers(0, 65_535), amounts, st.floats(-200, 200, width=32), instants, instants),
    max_size=8,
)
offers = st.tuples(
    st.lists(st.integers(0, TAGS + 3), max_size=TAGS_PER_OFFER_MAX, unique=True),
    st.booleans(),
    st.floats(0, 1, width=32),
)
moments = st.builds(
    Moment,
    st.sampled_from([0.0, 1.0, float(NOW_S), NOW_S + 0.25, 4e9, 2.5e11]),
    st.sampled_from([-1.0, 0.0, 5.0, 23.0]),
    st.sampled_from([0.0, 1e-300, 0.5, 1.0]),
    st.booleans(),
)


states = st.builds(State, amounts, instants, instants, entries_of_tags)


def compute(
    state: State,
    shelf: list[tuple[list[int], bool, float]],
    shares: list[float],
    basket: frozenset[int],
    moment: Moment,
    tags: int = TAGS,
) -> NDArray[np.float32]:
    header, packed = np.zeros(1, HEADER), np.zeros(CAPACITY, ENTRY)
    header["baskets"], header["as_of_s"], header["entries"] = state.baskets, state.as_of_s, len(state.entries)
    header["first_basket_s"] = state.first_basket_s
    for place, (tag, entry) in enumerate(state.entries.items()):
        packed[place]["tag_id"] = tag
        for name, value in entry._asdict().items():
            packed[place][name] = value
    padded = np.full((len(shelf), TAGS_PER_OFFER_MAX), -1, np.int16)
    for row, (ids, _, _) in zip(padded, shelf, strict=True):
        row[: len(ids)] = ids
    out = np.full((len(shelf), features.DIMS), np.nan, np.float32)
    featurize(
        header,
        packed,
        padded,
        np.array([is_personal for _, is_personal, _ in shelf], np.bool_),
        np.array([discount for _, _, discount in shelf], np.float32),
        np.array(shares, np.float32),
        np.isin(np.arange(tags), list(basket)),
        *moment,
        out,
    )
    return out


@settings(max_examples=100, deadline=None)
@given(
    states,
    st.lists(offers, min_size=1, max_size=5),
    st.lists(st.floats(0, 1, width=32), max_size=TAGS + 2),
    st.frozensets(st.integers(0, TAGS - 1)),
    moments,
)
def test_features_are_the_twin_s(
    state: State,
    shelf: list[tuple[list[int], bool, float]],
    shares: list[float],
    basket: frozenset[int],
    moment: Moment,
) -> None:
    out = compute(state, shelf, shares, basket, moment)
    popular = dict(enumerate(shares))
    assert np.isfinite(out).all()
    for row, (tags, is_personal, discount) in zip(out, shelf, strict=True):
        if max(tags, default=0) < TAGS:
            twin = reference.features(state, tags, is_personal, discount, popular, basket, moment)
            assert row == pytest.approx([twin[name] for name in features.NAMES], rel=5e-6, abs=1e-12)


NOON = Moment(float(NOW_S), 12.0, 0.0, is_wet=False)


def of(out: NDArray[np.float32], name: str) -> float:
    return float(out[0, features.NAMES.index(name)])


def test_who_is_impersonal_is_a_stranger() -> None:
    state = State(10.0, NOW_S, NOW_S - 86_400, {1: Entry(2048, 9.0, 4.0, NOW_S - 60, NOW_S - 60)})
    shelf = [([1, 2], False, 0.1)]
    told = compute(state, shelf, [0.0, 0.3, 0.2], frozenset({1}), NOON)
    assert np.array_equal(told, compute(STRANGER, shelf, [0.0, 0.3, 0.2], frozenset(), NOON))


def test_own_purchases_count_before_the_population_knows_the_tag() -> None:
    state = State(4.0, NOW_S, NOW_S, {1: Entry(bought=4.0, bought_s=NOW_S)})
    assert of(compute(state, [([1], True, 0.0)], [], frozenset({1}), NOON), "chance") > 0.5
    assert of(compute(state, [([1], True, 0.0)], [], frozenset({1}), NOON), "in_basket") == 1.0


def test_a_tag_nobody_knows_shares_the_offer_s_weight() -> None:
    out = compute(STRANGER, [([1, 9], True, 0.0)], [0.0, 0.4], frozenset(), NOON, tags=2)
    assert of(out, "popular_new") == pytest.approx(0.2)
