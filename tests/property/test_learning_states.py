"""Tastes, rhythm and population: the same facts in any order, in any parts, give the same as counting them one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandits import population, rhythm, tastes
from bandits.kernels.tastes import BOUGHT_HALF_LIFE_S, CAPACITY, INTEREST_HALF_LIFE_S, SHOWN_HALF_LIFE_S, shown_at
from bandits.population import Population
from bandits.rhythm import Rhythm
from bandits.tastes import LOGGED_BYTES_MAX, Tastes, UnknownStateError
from tests.reference import learning as reference
from tests.reference.learning import TasteFact

DAY_S = 86_400
START_S = 1_772_000_000
END_S = START_S + 400 * DAY_S

quick = settings(max_examples=50, deadline=None)
instants = st.integers(START_S, END_S)
tags = st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True).map(tuple)
counts = st.builds(TasteFact, st.sampled_from(["bought", "shown"]), instants, tags, st.just(1.0))
interests = st.builds(TasteFact, st.just("interested"), instants, tags, st.sampled_from([0.2, 1.0, -0.5, -2.0]))
facts = st.lists(counts | interests, max_size=25)


def teach(state: Tastes, fact: TasteFact) -> None:
    if fact.kind == "bought":
        state.bought(fact.tag_ids, fact.at_s)
    elif fact.kind == "interested":
        state.interested(fact.tag_ids, fact.at_s, fact.weight)
    else:
        state.shown(fact.tag_ids, fact.at_s, 1.0)


def taught(told: list[TasteFact]) -> bytes:
    state = Tastes()
    for fact in told:
        teach(state, fact)
        state = tastes.unpack(state.pack())
    return state.pack()


def assert_counts(packed: bytes, told: list[TasteFact]) -> None:
    state, expected = tastes.unpack(packed), reference.tastes(told, END_S)
    header = state.header[0]
    since_s = END_S - int(header["as_of_s"])
    assert header["baskets"] * 0.5 ** (since_s / BOUGHT_HALF_LIFE_S) == pytest.approx(expected.baskets, rel=1e-5)
    assert header["last_basket_s"] == expected.last_basket_s
    entries = state.entries[: int(header["entries"])]
    assert sorted(entries["tag_id"]) == sorted(expected.tags)
    for entry in entries:
        bought, interest, shown, bought_s = expected.tags[int(entry["tag_id"])]
        assert entry["bought"] * 0.5 ** (since_s / BOUGHT_HALF_LIFE_S) == pytest.approx(bought, rel=1e-5)
        # Signs for and against may cancel out: what is left is as exact as what went in.
        interest_left = entry["interest"] * 0.5 ** (since_s / INTEREST_HALF_LIFE_S)
        assert interest_left == pytest.approx(interest, rel=1e-5, abs=2e-6 * len(told))
        assert entry["bought_s"] == bought_s
        seen = shown_at(int(entry["shown"]), float(entry["shown_s"]), float(END_S))
        assert seen == pytest.approx(shown, abs=len(told) / 1024)


@quick
@given(facts, st.randoms(use_true_random=False))
def test_tastes_count_the_same_in_any_order(told: list[TasteFact], random: object) -> None:
    shuffled = list(told)
    random.shuffle(shuffled)  # type: ignore[attr-defined] # Hypothesis hands out a random.Random
    assert_counts(taught(shuffled), told)


@quick
@given(facts, facts)
def test_merged_tastes_are_those_of_one_person(one: list[TasteFact], other: list[TasteFact]) -> None:
    assert_counts(tastes.merge(taught(one), taught(other)), one + other)


pushes = st.lists(st.tuples(instants, st.booleans()), max_size=10)


def unanswered(packed: bytes) -> float:
    return tastes.unanswered(tastes.view(packed), END_S)


@quick
@given(facts, pushes, st.randoms(use_true_random=False))
def test_unanswered_pushes_fade_and_an_answer_takes_back_its_own(
    told: list[TasteFact], pushed: list[tuple[int, bool]], random: object
) -> None:
    counts = [(at_s, 1.0) for at_s, _ in pushed] + [(at_s, -1.0) for at_s, is_answered in pushed if is_answered]
    random.shuffle(counts)  # type: ignore[attr-defined] # Hypothesis hands out a random.Random
    state = tastes.unpack(taught(told))
    for at_s, count in counts:
        state.pushed(at_s, count)
    expected = sum(reference.faded(at_s, END_S, SHOWN_HALF_LIFE_S) for at_s, is_answered in pushed if not is_answered)
    assert unanswered(state.pack()) == pytest.approx(expected, rel=1e-5, abs=1e-6 * len(pushed))
    other = Tastes()
    other.pushed(START_S, 1.0)
    merged = tastes.merge(state.pack(), other.pack())
    assert unanswered(merged) == pytest.approx(
        expected + reference.faded(START_S, END_S, SHOWN_HALF_LIFE_S), rel=1e-5, abs=1e-6 * (len(pushed) + 1)
    )


@quick
@given(facts, instants, tags)
def test_an_answer_takes_back_its_own_showing(told: list[TasteFact], at_s: int, shown: tuple[int, ...]) -> None:
    state = Tastes()
    state.shown(shown, at_s, 1.0)
    for fact in told:
        teach(state, fact)
    state.shown(shown, at_s, -1.0)
    entries = state.entries[: int(state.header["entries"][0])]
    left = {int(e["tag_id"]): shown_at(int(e["shown"]), float(e["shown_s"]), float(END_S)) for e in entries}
    expected = reference.tastes(told, END_S).tags
    for tag, seen in left.items():
        assert seen == pytest.approx(expected[tag][2] if tag in expected else 0.0, abs=(len(told) + 2) / 1024)


def test_showings_never_fall_below_none() -> None:
    state = Tastes()
    state.shown([1], START_S, -1.0)
    assert state.entries[0]["shown"] == 0


@pytest.mark.parametrize("weights", [(-2.0, 1.0, 1.5), (1.0, -2.0, 1.5), (1.5, 1.0, -2.0)])
def test_signs_of_interest_add_up_in_any_order(weights: tuple[float, ...]) -> None:
    state = Tastes()
    for weight in weights:
        state.interested([1], START_S, weight)
        state = tastes.unpack(state.pack())
    assert state.entries[0]["interest"] == pytest.approx(0.5)


def test_a_dislike_is_evidence_that_is_kept() -> None:
    state = Tastes()
    state.interested([70], START_S, -2.0)
    for tag in range(CAPACITY):
        state.bought([tag], START_S)
    state.bought([999], START_S)
    assert 70 in state.entries["tag_id"]
    assert 999 in state.entries["tag_id"]


def test_a_full_state_gives_up_what_it_knows_least_of() -> None:
    state = Tastes()
    for tag in range(CAPACITY):
        state.bought([tag], START_S)
    state.bought([t for t in range(CAPACITY) if t != 70], START_S)
    state.bought([999], START_S)
    kept = set(state.entries["tag_id"].tolist())
    assert len(kept) == CAPACITY
    assert 999 in kept
    assert 70 not in kept


@pytest.mark.parametrize("damaged", [b"\x02", b"\x01" + Tastes().pack()[1:], Tastes().pack() + b"\x00"])
def test_unknown_bytes_are_refused(damaged: bytes) -> None:
    with pytest.raises(UnknownStateError):
        tastes.unpack(damaged)


def test_a_decision_logs_a_bounded_part_that_matters() -> None:
    state = Tastes()
    for tag in range(CAPACITY):
        state.bought(range(tag + 1), START_S)  # the lower the tag, the more baskets hold it
    is_relevant = np.zeros(CAPACITY, np.bool_)
    is_relevant[20:110] = True
    logged = tastes.for_decision(state.pack(), is_relevant)
    assert len(logged) <= LOGGED_BYTES_MAX
    entries = tastes.unpack(logged)
    count = int(entries.header["entries"][0])
    assert entries.entries["tag_id"][:count].tolist() == list(range(20, 20 + count))
    assert tastes.for_decision(logged, is_relevant) == logged


# Of a year one visit a day, by the hour of the day and the day: what is told late is a trip of its own.
visits = st.lists(st.tuples(st.integers(0, 23), st.integers(0, 399)), max_size=20, unique_by=lambda visit: visit[1])
# Of nine days any number, in minutes, often of the same trip.
MINUTES = 9 * 24 * 60
dense = st.lists(st.integers(0, MINUTES - 1) | st.integers(1_000, 1_400), max_size=30)
zones_min = st.sampled_from([0, -300, 330, 765])


@pytest.mark.parametrize("count", [-1.0, np.nan, np.inf])
def test_visits_that_are_not_counts_are_refused(count: float) -> None:
    state = Rhythm()
    state.visits[5] = count
    with pytest.raises(ValueError, match="not counts"):
        rhythm.unpack(state.pack())


def hour_of_week(at_s: float, zone_min: int = 0) -> int:
    return int((at_s + 60 * zone_min) // 3600 - 96) % rhythm.HOURS


def instants_of(told: list[tuple[int, int]]) -> list[float]:
    first_s = START_S - START_S % DAY_S
    return [first_s + day * DAY_S + hour * 3600.0 for hour, day in told]


def came(at: list[float], zone_min: int = 0) -> bytes:
    state = Rhythm()
    for at_s in at:
        state.visited(hour_of_week(at_s, zone_min), at_s)
        state = rhythm.unpack(state.pack())
    return state.pack()


def assert_visits(packed: bytes, told: list[tuple[int, int]]) -> None:
    state = rhythm.unpack(packed)
    state.decay_to(END_S)
    at = [(hour_of_week(at_s), at_s) for at_s in instants_of(told)]
    expected = reference.visits(at, rhythm.HOURS, END_S, rhythm.HALF_LIFE_S)
    np.testing.assert_allclose(state.visits, expected, rtol=1e-5, atol=1e-9)


@quick
@given(visits, st.randoms(use_true_random=False))
def test_rhythm_counts_the_same_in_any_order(told: list[tuple[int, int]], random: object) -> None:
    shuffled = list(told)
    random.shuffle(shuffled)  # type: ignore[attr-defined] # Hypothesis hands out a random.Random
    assert_visits(came(instants_of(shuffled)), told)


@quick
@given(visits, st.integers(0, 20))
def test_merged_rhythms_are_those_of_one_person(told: list[tuple[int, int]], split: int) -> None:
    at = instants_of(told)
    assert_visits(rhythm.merge(came(at[:split]), came(at[split:])), told)


def trips(minutes: list[int], zone_min: int, to_s: float) -> np.ndarray:
    """Slow and obvious: of each three hours of the local clock one count, shared by the hours in which something was told."""
    hours = {int((START_S + 60 * (minute + zone_min)) // 3600) for minute in minutes}
    counted = np.zeros(rhythm.HOURS)
    for hour in hours:
        of_trip = sum(other // 3 == hour // 3 for other in hours)
        counted[(hour - 96) % rhythm.HOURS] += 0.5 ** ((to_s - 3600 * hour) / rhythm.HALF_LIFE_S) / of_trip
    return counted


@quick
@given(dense, zones_min, st.randoms(use_true_random=False), st.integers(0, 30))
def test_trips_are_a_function_of_the_set_of_visits(
    minutes: list[int], zone_min: int, random: object, split: int
) -> None:
    """In any order, told twice, and of a person who was known under two ids."""
    shuffled = minutes + minutes[::2]
    random.shuffle(shuffled)  # type: ignore[attr-defined] # Hypothesis hands out a random.Random
    at = [float(START_S + 60 * minute) for minute in shuffled]
    for packed in (came(at, zone_min), rhythm.merge(came(at[:split], zone_min), came(at[split:], zone_min))):
        state = rhythm.unpack(packed)
        state.decay_to(END_S)
        np.testing.assert_allclose(state.visits, trips(minutes, zone_min, END_S), rtol=1e-4, atol=1e-6)


baskets = st.lists(st.tuples(tags, st.integers(-1, 167), instants), max_size=20)


def counted(told: list[tuple[tuple[int, ...], int, int]]) -> Population:
    people = Population()
    for tag_ids, hour, at_s in told:
        people.bought(tag_ids, hour, at_s)
    return population.unpack(people.pack())


@quick
@given(baskets, st.integers(0, 20), st.randoms(use_true_random=False))
def test_population_counts_the_same_in_any_order_and_parts(
    told: list[tuple[tuple[int, ...], int, int]], split: int, random: object
) -> None:
    whole = counted(told)
    shuffled = list(told)
    random.shuffle(shuffled)  # type: ignore[attr-defined] # Hypothesis hands out a random.Random
    parts = counted(shuffled[:split])
    parts.add(counted(shuffled[split:]))
    np.testing.assert_allclose(parts.tag_shares(), whole.tag_shares(), rtol=1e-6)
    np.testing.assert_allclose(parts.hour_shares(), whole.hour_shares(), rtol=1e-6)
    assert parts.baskets_at(END_S) == pytest.approx(whole.baskets_at(END_S))
    faded = [reference.faded(at_s, END_S, population.HALF_LIFE_S) for _, _, at_s in told]
    assert whole.baskets_at(END_S) == pytest.approx(sum(faded))
    for tag, share in enumerate(whole.tag_shares()):
        held = sum(weight for weight, (tag_ids, _, _) in zip(faded, told, strict=True) if tag in tag_ids)
        assert share == pytest.approx(held / sum(faded), rel=1e-5)
    assert whole.hour_shares().sum() == pytest.approx(1.0, rel=1e-5)
    np.testing.assert_allclose(parts.recent_shares(END_S), whole.recent_shares(END_S), rtol=1e-6)
    recent = [reference.faded(at_s, END_S, population.RECENT_HALF_LIFE_S) for _, _, at_s in told]
    for tag, share in enumerate(whole.recent_shares(END_S)):
        held = sum(weight for weight, (tag_ids, _, _) in zip(recent, told, strict=True) if tag in tag_ids)
        assert share == pytest.approx((held + 5 * whole.tag_shares()[tag]) / (sum(recent) + 5), rel=1e-5)


@pytest.mark.parametrize("year", [1990, 2017, 2026, 2060])
def test_what_is_in_season_shows_in_every_decade(year: int) -> None:
    end_s = (year - 1970) * 365.25 * DAY_S
    people = Population()
    for day in range(200):
        people.bought([0 if day < 190 else 1], 3, end_s - (199 - day) * DAY_S)
    recent = 0.5 ** (np.arange(200) / 14)
    long_ago = 0.5 ** (np.arange(200) / 84)
    share = long_ago[:10].sum() / long_ago.sum()
    assert people.recent_shares(end_s)[1] == pytest.approx(
        (recent[:10].sum() + 5 * share) / (recent.sum() + 5), rel=1e-5
    )


def test_recent_shares_hold_for_centuries() -> None:
    people = Population()
    for year in (30, 60, 230, 45):  # since 1970
        people.bought([year % 7], 3, year * 365.25 * DAY_S)
    newest = 230 * 365.25 * DAY_S
    early = Population()
    early.bought([0], 3, 31 * 365.25 * DAY_S)
    early.add(population.unpack(people.pack()))
    assert early.recent_shares(newest)[230 % 7] == pytest.approx((1 + 5) / (1 + 5), rel=1e-3)
    assert np.isfinite(people.recent_shares(0.0)).all()
    assert np.isfinite(people.recent_shares(9e9)).all()


def test_what_was_counted_before_there_were_recent_shares_is_read_on() -> None:
    old = np.concatenate([[2.0], np.zeros(168), [1.0, 2.0]]).astype("<f8").tobytes()
    people = population.unpack(bytes(24) + old)
    assert people.tag_shares().tolist() == people.recent_shares(END_S).tolist() == [0.5, 1.0]
