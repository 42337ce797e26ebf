"""The search for entries that make a pass fail: who is found, what only fails together, and how many trials it may take."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schema.event import EventType
from schema.log import LogEntry
from service.learning import culprits
from service.learning.culprits import TRIALS_MAX, Found
from service.store.event_log import LogBatch

AT = datetime(2026, 3, 2, tzinfo=UTC)
FEW = 12


class BadError(Exception):
    """What a pass raises."""


def logged(count: int, batch: int = 50) -> list[LogBatch]:
    """So many entries, whose event ids are their numbers."""
    entries = [LogEntry(1, UUID(int=number), EventType.APP_OPEN, AT) for number in range(count)]
    return [LogBatch(n, 1, entries[n * batch : (n + 1) * batch]) for n in range(-(-count // batch))]


async def found_among(count: int, fails: Callable[[set[int]], bool]) -> tuple[Found, set[int], int]:
    """What is found, the numbers of the culprits, and the number of trials."""
    trials = 0

    async def trial(batches: Sequence[LogBatch]) -> Exception | None:
        nonlocal trials
        trials += 1
        numbers = {entry.event_id.int for batch in batches for entry in batch.entries}
        return BadError() if fails(numbers) else None

    found = await culprits.find(logged(count), trial)
    return found, {entry.event_id.int for entry, _ in found.culprits}, trials


async def test_one_of_many_is_found_by_halves() -> None:
    found, numbers, trials = await found_among(16_384, lambda some: 12_345 in some)
    assert (found.is_complete, numbers, trials) == (True, {12_345}, 29)


@settings(deadline=None)
@given(st.sets(st.integers(0, 199), max_size=4))
async def test_all_that_fail_by_themselves_are_found(bad: set[int]) -> None:
    found, numbers, _ = await found_among(200, lambda some: bool(some & bad))
    assert found.is_complete
    assert numbers == bad
    assert all(isinstance(error, BadError) for _, error in found.culprits)


@settings(deadline=None)
@given(st.sets(st.integers(0, 199), min_size=2, max_size=4))
async def test_of_those_that_fail_only_together_one_is_found_without_which_the_others_do_not(bad: set[int]) -> None:
    found, numbers, _ = await found_among(200, bad.issubset)
    assert found.is_complete
    assert len(numbers) == 1
    assert numbers < bad


@pytest.mark.parametrize("size", [FEW, 20_000])
async def test_where_all_fail_the_search_ends_and_what_it_found_first_it_finds_first_again(size: int) -> None:
    found, numbers, trials = await found_among(size, bool)
    assert trials <= TRIALS_MAX
    assert found.is_complete == (size == FEW)
    assert numbers == set(range(len(numbers)))
    assert len(numbers) >= FEW
    again, _, _ = await found_among(size, bool)
    assert [one.entry for one in again.culprits] == [one.entry for one in found.culprits]


async def test_where_nothing_fails_nothing_is_found() -> None:
    assert (await found_among(100, lambda _: False))[0] == Found([], is_complete=True)
    assert (await found_among(0, lambda _: True))[0] == Found([], is_complete=True)
