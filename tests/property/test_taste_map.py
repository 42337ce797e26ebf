"""The map of tastes: axes that find how people differ and keep their meaning, companions and cycles that were put in."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandits import taste_map
from bandits.kernels import companions
from bandits.kernels.tastes import BOUGHT_HALF_LIFE_S
from bandits.personal import AXES
from bandits.taste_map import COMPANIONS, LIFT_PSEUDO_BASKETS, DamagedTasteMapError, TasteMap
from bandits.tastes import Tastes
from tests.reference import personal as reference

DAY_S = 86_400
START_S = 1_772_000_000
TAGS = 24

quick = settings(max_examples=50, deadline=None)


@cache
def shoppers(seed: int, size: int = 300, camps: int = 6, baskets: int = 12) -> list[bytes]:
    """People of whom each buys twice as much of one group of four tags; hot dogs (0) go with mustard (5)."""
    rng = np.random.default_rng(seed)
    people = []
    for person in range(size):
        chance = np.full(TAGS, 0.15)
        chance[person % camps :: camps] = 0.45
        state = Tastes()
        for day in np.sort(rng.choice(120, baskets, replace=False)):
            bought = rng.random(TAGS) < chance
            bought[5] |= bought[0] and rng.random() < 0.7
            state.bought(np.flatnonzero(bought).tolist(), START_S + int(day) * DAY_S)
        people.append(state.pack())
    return people


def learned(seed: int, version: int = 1, before: TasteMap | None = None, left_out: tuple[int, ...] = ()) -> TasteMap:
    return taste_map.learn(shoppers(seed), version, before or taste_map.empty(), left_out)


def likeness(axes: np.ndarray) -> np.ndarray:
    unit = axes / np.linalg.norm(axes, axis=1, keepdims=True)
    return unit @ unit.T


def test_axes_place_what_the_same_people_buy_together() -> None:
    found = learned(1)
    assert found.version == 1
    assert np.mean(found.axes**2) == pytest.approx(1.0, rel=1e-5)
    alike = likeness(found.axes)
    same = np.equal.outer(np.arange(TAGS) % 6, np.arange(TAGS) % 6) & ~np.eye(TAGS, dtype=bool)
    assert np.median(alike[same]) > 0.7
    assert np.median(alike[~same & ~np.eye(TAGS, dtype=bool)]) < 0.2


def test_new_axes_mean_what_those_before_meant() -> None:
    before = learned(1)
    turned, alone = learned(2, 2, before), learned(2, 2)
    agrees = [np.corrcoef(turned.axes[:, k], before.axes[:, k])[0, 1] for k in range(AXES)]
    assert min(agrees) > 0.8
    # Turning moves the axes, and nothing between two tags.
    np.testing.assert_allclose(turned.axes @ turned.axes.T, alone.axes @ alone.axes.T, atol=1e-4)


def test_what_is_learned_does_not_depend_on_the_order_of_the_people() -> None:
    people = shoppers(3)
    one = taste_map.learn(people, 1, taste_map.empty(), ())
    other = taste_map.learn(people[::-1], 1, taste_map.empty(), ())
    for part, twin in zip(one[1:], other[1:], strict=True):
        np.testing.assert_allclose(part, twin, atol=1e-5)


def test_too_few_people_keep_the_axes_there_are() -> None:
    before = learned(1)
    kept = taste_map.learn(shoppers(2)[:20], 2, before, ())
    np.testing.assert_array_equal(kept.axes, before.axes)
    assert not taste_map.learn([], 1, taste_map.empty(), ()).axes.size


def test_a_state_that_cannot_be_read_is_passed_over() -> None:
    people = shoppers(3)
    with_damage = taste_map.learn([b"?", *people, b"\x01" * 30], 1, taste_map.empty(), ())
    np.testing.assert_array_equal(with_damage.axes, taste_map.learn(people, 1, taste_map.empty(), ()).axes)


def test_nothing_is_concluded_from_tags_that_are_left_out() -> None:
    found = learned(1, left_out=(0, 7, 999))
    for tag in (0, 7):
        assert not found.axes[tag].any()
        assert (found.companions[tag] == -1).all()
        assert found.cycles_s[tag] == 0.0
    assert not np.isin(found.companions, (0, 7)).any()


def test_companions_are_what_lies_in_one_basket_with_it() -> None:
    found = learned(1)
    assert 5 in found.companions[0].tolist()
    assert 0 in found.companions[5].tolist()
    assert not any(tag in found.companions[tag] for tag in range(TAGS))


def test_lifts_are_those_of_counting() -> None:
    rng = np.random.default_rng(8)
    baskets = [frozenset(np.flatnonzero(rng.random(12) < 0.4).tolist()) for _ in range(120)]
    people = []
    for basket in baskets:
        state = Tastes()
        state.bought(range(12), START_S)  # everything once, so that all tags are common
        state.bought(basket, START_S + DAY_S)
        people.append(state.pack())
    found = taste_map.learn([p for p, basket in zip(people, baskets, strict=True) if basket], 1, taste_map.empty(), ())
    expected = reference.lifts([basket for basket in baskets if basket], range(12), LIFT_PSEUDO_BASKETS)
    for tag in range(12):
        best = sorted(
            (lift for (a, _), lift in expected.items() if a == tag and lift >= taste_map.LIFT_MIN), reverse=True
        )
        kept = found.lifts[tag][found.companions[tag] >= 0]
        np.testing.assert_allclose(np.exp(kept), best[:COMPANIONS], rtol=1e-5)
        for other, lift in zip(found.companions[tag].tolist(), found.lifts[tag], strict=True):
            assert other < 0 or np.exp(lift) == pytest.approx(expected[tag, other], rel=1e-5)


def test_the_cycle_of_a_tag_is_the_gap_between_its_purchases() -> None:
    people = []
    for first in range(30):
        state = Tastes()
        for day in range(first, 400, 10):
            state.bought([1, 2] if day % 30 == first % 30 else [1], START_S + day * DAY_S)
        people.append(state.pack())
    cycles = taste_map.learn(people, 1, taste_map.empty(), ()).cycles_s / DAY_S
    assert cycles[1] == pytest.approx(10.0, rel=0.1)
    assert cycles[2] == pytest.approx(30.0, rel=0.2)
    assert cycles[0] == 0.0


def test_an_offer_lies_amid_its_tags_and_a_new_tag_nowhere() -> None:
    found = learned(1)
    tags = np.array([[0, 6, -1], [3, 99, -1], [-1, -1, -1]], np.int16)
    axes = taste_map.axes_of(found, tags)
    np.testing.assert_allclose(axes[0], (found.axes[0] + found.axes[6]) / 2, rtol=1e-6)
    np.testing.assert_allclose(axes[1], found.axes[3] / 2, rtol=1e-6)
    assert not axes[2].any()
    assert not taste_map.axes_of(taste_map.empty(), tags).any()


def test_packed_maps_are_read_again_and_damaged_ones_refused() -> None:
    found = learned(1)
    again = taste_map.unpack(1, taste_map.pack(found))
    for part, twin in zip(found, again, strict=True):
        np.testing.assert_array_equal(part, twin)
    with pytest.raises(DamagedTasteMapError):
        taste_map.unpack(1, taste_map.pack(found)[:-1])
    broken = found._replace(cycles_s=np.full(TAGS, np.nan, np.float32))
    with pytest.raises(DamagedTasteMapError):
        taste_map.unpack(1, taste_map.pack(broken))


shares = st.floats(0.0, 1.0)
rows = st.dictionaries(st.integers(0, 9), st.floats(0.125, 3.0, width=32), max_size=COMPANIONS)


@quick
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True),
    st.dictionaries(st.integers(0, 9), shares),
    st.dictionaries(st.integers(0, 9), rows, max_size=10),
)
def test_what_goes_with_the_basket(
    tags: list[int], recency: dict[int, float], kept: dict[int, dict[int, float]]
) -> None:
    pairs = np.full((10, COMPANIONS), -1, np.int16)
    lifts = np.zeros((10, COMPANIONS), np.float32)
    for tag, row in kept.items():
        pairs[tag, : len(row)], lifts[tag, : len(row)] = list(row), list(row.values())
    recent = np.array([recency.get(tag, 0.0) for tag in range(10)])
    found = companions.goes_with(np.array([[*tags, -1]], np.int16), 0, recent, pairs, lifts)
    assert found == pytest.approx(reference.goes_with(tags, recency, kept), abs=1e-6)


def test_recency_is_of_the_basket_and_of_what_was_bought_last() -> None:
    state = Tastes()
    state.bought([1, 2], START_S)
    state.bought([3, 70], START_S + DAY_S)
    state.shown([4], START_S, 1.0)
    out, in_basket = np.full(6, 9.0), np.zeros(6, np.bool_)
    in_basket[[2, 5]] = True
    companions.recent(state.entries, int(state.header["entries"][0]), in_basket, float(START_S + 2 * DAY_S), out)
    np.testing.assert_allclose(out, [0.0, 0.25, 1.0, 0.5, 0.0, 1.0])


def test_it_is_due_after_one_gap_of_ones_own() -> None:
    cycle_s, bought = 20.0 * DAY_S, 6.0
    known_s = BOUGHT_HALF_LIFE_S
    gap_s = (known_s + 2.0 * cycle_s) / (bought + 2.0)
    ages_s = gap_s * np.array([0.0, 0.5, 1.0, 3.0])
    found = [companions.due(bought, age_s, known_s, cycle_s) for age_s in ages_s]
    assert found == pytest.approx([0.0, 0.5 * np.exp(0.5), 1.0, 3.0 * np.exp(-2.0)])
    assert companions.due(bought, gap_s, known_s, 0.0) == 0.0
    assert companions.due(0.0, gap_s, known_s, cycle_s) == 0.0
