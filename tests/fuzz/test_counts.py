"""What the learner has written down and reads again: the event log, sums, populations, models of snapshots, effects, states side by side."""

import uuid
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bandits import personal, population, sums, tastes
from bandits.features import DIMS, FEATURE_SET
from bandits.policies import learned_states, model
from bandits.population import Population
from bandits.rhythm import HOURS
from schema.event import EventType
from schema.log import DECODER, ENCODER, LogEntry
from schema.snapshot import HEADS, HeadSnapshot, Snapshot
from service.store import effects
from tests.deciding import answered, shopper
from tests.fuzz.material import calmly, spoilt

AT: Final = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
ENTRIES: Final = ENCODER.encode(
    [
        LogEntry(5, uuid.UUID(int=7), EventType.PURCHASE, AT, 33, (1, 2)),
        LogEntry(
            6, uuid.UUID(int=8), EventType.REDEEMED, AT, decision_id=uuid.UUID(int=9), takes_back=uuid.UUID(int=7)
        ),
    ]
)
NUMBERS: Final = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    3.0,
    168.0,
    1e9,
    -1e9,
    1e300,
    -1e300,
    float("inf"),
    float("-inf"),
    float("nan"),
]


def a_population() -> bytes:
    people = Population()
    people.bought([0, 2], 9, AT.timestamp())
    return people.pack()


def floats(size_max: int) -> st.SearchStrategy[bytes]:
    """Numbers, in places also those that no count is."""
    return st.lists(st.sampled_from(NUMBERS) | st.floats(), max_size=size_max).map(
        lambda some: np.array(some, "<f8").tobytes()
    )


@st.composite
def changed(draw: st.DrawFn, packed: bytes) -> bytes:
    """Packed numbers, of which some are others, with some more or fewer."""
    numbers = np.frombuffer(packed, "<f8").copy()
    for _ in range(draw(st.integers(0, 4))):
        numbers[draw(st.integers(0, min(len(numbers) - 1, 8)))] = draw(st.sampled_from(NUMBERS) | st.floats())
    return numbers.tobytes()[: draw(st.integers(0, 8)) * -8 or None] + draw(floats(8))


@calmly
@given(st.binary(max_size=200) | spoilt([ENTRIES]) | st.just(ENTRIES))
def test_a_batch_of_the_log_is_read_or_refused(body: bytes) -> None:
    try:
        entries = DECODER.decode(body)
    except msgspec.DecodeError:
        return
    assert DECODER.decode(ENCODER.encode(entries)) == entries


@calmly
@given(floats(HOURS + 30) | changed(a_population()) | st.binary(max_size=1_600))
def test_a_population_is_read_or_refused(data: bytes) -> None:
    try:
        people = population.unpack(data)
    except ValueError:
        return
    if data:
        again = people.pack()
        assert population.unpack(again).pack() == again
    assert people.hours.shape == (HOURS,)
    assert len(people.tags) >= len(people.recent_tags)
    with np.errstate(all="ignore"):  # counts are counts: what is not finite ends with the snapshot
        total = Population()
        total.add(people)
        total.add(population.unpack(a_population()))
        people.bought([1], 3, AT.timestamp())
        people.recent_shares(AT.timestamp())


@calmly
@given(st.integers(1, 4), st.data())
def test_sums_are_read_or_refused(dims: int, data: st.DataObject) -> None:
    whole = len(sums.Sums(dims).pack())
    packed = data.draw(
        floats(whole // 8 + 2) | st.binary(min_size=whole, max_size=whole) | st.binary(max_size=whole + 9)
    )
    try:
        read = sums.unpack(packed, dims)
    except ValueError:
        assert len(packed) != whole
        return
    assert len(packed) == whole
    np.testing.assert_array_equal(np.frombuffer(read.pack()), np.frombuffer(packed))


def packed_floats(count: int) -> st.SearchStrategy[bytes]:
    good = np.eye(1, count, dtype="<f4").tobytes()
    return st.just(good) | st.just(np.ones(count, "<f4").tobytes()) | spoilt([good])


_HEAD: Final = st.builds(
    HeadSnapshot,
    packed_floats(DIMS),
    packed_floats(DIMS * (DIMS + 1) // 2),
    st.sampled_from(NUMBERS),
    st.just([0.5]),
    st.just(3.0),
)


@calmly
@given(
    st.builds(
        Snapshot, version=st.just(1), published_at_s=st.just(1.0), feature_set=st.sampled_from([FEATURE_SET, 0]),
        heads=st.lists(_HEAD, min_size=len(HEADS) - 1, max_size=len(HEADS)), tag_shares=packed_floats(3),
        hour_shares=packed_floats(HOURS), baskets=st.just(1.0), offsets=st.just([0] * 64), recent_shares=packed_floats(3),
        personal_variances=st.lists(st.sampled_from(NUMBERS), max_size=4),
    )
)  # fmt: skip
def test_a_snapshot_becomes_a_model_of_numbers_or_is_refused(snapshot: Snapshot) -> None:
    try:
        made = model.from_snapshot(snapshot)
    except model.DamagedSnapshotError:
        return
    for part in (made.means, made.factors, made.dispersions, made.hour_shares, made.tag_shares, made.recent_shares):
        assert np.isfinite(part).all()


@calmly
@given(floats(60) | st.binary(max_size=400))
def test_an_effect_is_read_or_refused(body: bytes) -> None:
    with suppress(effects.NotAnEffectError):
        assert effects._pack(effects._unpack(body)) == body


_STATE: Final = st.binary(max_size=60) | spoilt([shopper(3, 1, 2, 5)]) | st.just(shopper(1)) | st.just(b"")
_OWN: Final = st.binary(max_size=60) | spoilt([answered(1.0, 0.0)]) | st.just(answered(1.0, 0.0)) | st.just(b"")


def side_by_side(parts: list[bytes]) -> learned_states.Packed:
    sizes = np.array([len(part) for part in parts], np.int64)
    return learned_states.Packed(b"".join(parts), np.cumsum(sizes) - sizes, sizes)


@calmly
@given(st.lists(st.tuples(_STATE, _OWN), min_size=1, max_size=4))
def test_of_states_side_by_side_those_are_readable_that_are_alone(people: list[tuple[bytes, bytes]]) -> None:
    count = len(people)
    read = learned_states.for_decisions(
        side_by_side([one[0] for one in people]), side_by_side([one[1] for one in people]), np.ones(count, np.bool_),
        np.ones(6, np.bool_), np.full(count, 1, np.int64), AT.timestamp(),
    )  # fmt: skip
    assert read.is_readable.tolist() == [is_readable(*one) for one in people]


def is_readable(state: bytes, own: bytes) -> bool:
    try:
        tastes.view(state)
        personal.end_to_end([own], AT.timestamp())
    except ValueError:
        return False
    return True
