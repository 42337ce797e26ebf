"""The journal of degraded decisions: what was kept is there, what was not whole is cut off, and nobody reads what is being written."""

import fcntl
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.store import journal
from service.store.journal import Journal, JournalFull

COLUMNS = ("user_id", "decision_id")


async def keep(one: Journal, rows: bytes) -> None:
    await one.copy_to_table("decisions", source=memoryview(rows), columns=COLUMNS, format="binary")


def read(path: Path) -> list[bytes]:
    with journal.held(path) as data:
        assert data is not None
        return [batch.rows for batch in journal.batches(data)[0]]


async def test_what_was_kept_is_there_in_its_order_once_the_file_is_sealed(tmp_path: Path) -> None:
    ours = Journal(tmp_path)
    assert journal.files(tmp_path) == []
    await keep(ours, b"first")
    await keep(ours, b"second")
    (path,) = journal.files(tmp_path)
    with journal.held(path) as data:
        assert data is None  # it is being written
    ours.seal()
    assert read(path) == [b"first", b"second"]
    await keep(ours, b"third")
    assert len(journal.files(tmp_path)) == 2
    ours.seal()


async def test_what_was_not_imported_counts_for_the_next_file_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "BYTES_MAX", 1_000)
    ours = Journal(tmp_path)
    await keep(ours, b"x" * 600)
    ours.seal()  # to be imported, and PostgreSQL is gone again
    with pytest.raises(JournalFull):
        await keep(ours, b"x" * 600)
    ours.seal()
    await keep(ours, b"small")
    ours.seal()
    for path in journal.files(tmp_path):
        journal.remove(path)
    await keep(ours, b"x" * 600)
    ours.seal()


async def test_a_file_that_another_process_imports_meanwhile_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = Journal(tmp_path)
    await keep(ours, b"imported")
    ours.seal()
    (path,) = journal.files(tmp_path)
    of_any = Path.stat

    def stat(one: Path, **given: Any) -> Any:
        found = of_any(one, **given)
        if one == path:
            journal.remove(path)  # in the next instant
        return found

    monkeypatch.setattr(Path, "stat", stat)
    await keep(ours, b"kept")
    ours.seal()
    (left,) = journal.files(tmp_path)
    assert read(left) == [b"kept"]


@pytest.mark.parametrize("lost", [1, 3, 9])
async def test_a_torn_record_is_cut_off_and_those_before_it_stay(tmp_path: Path, lost: int) -> None:
    ours = Journal(tmp_path)
    await keep(ours, b"whole")
    await keep(ours, b"torn")
    ours.seal()
    (path,) = journal.files(tmp_path)
    path.write_bytes(path.read_bytes()[:-lost])
    found, cut = journal.batches(path.read_bytes())
    assert [batch.rows for batch in found] == [b"whole"]
    assert cut > 0


@pytest.mark.parametrize("zeros", [1, 8, 4096])
async def test_zeros_that_a_crash_of_the_machine_left_at_the_end_are_cut_off(tmp_path: Path, zeros: int) -> None:
    ours = Journal(tmp_path)
    await keep(ours, b"whole")
    ours.seal()
    (path,) = journal.files(tmp_path)
    found, cut = journal.batches(path.read_bytes() + bytes(zeros))
    assert ([batch.rows for batch in found], cut) == ([b"whole"], zeros)


async def test_a_record_of_other_bytes_ends_what_is_believed(tmp_path: Path) -> None:
    ours = Journal(tmp_path)
    for rows in (b"whole", b"changed", b"after it"):
        await keep(ours, rows)
    ours.seal()
    (path,) = journal.files(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"changed", b"Changed"))
    assert read(path) == [b"whole"]


async def test_a_full_journal_refuses_and_keeps_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "BYTES_MAX", 100)
    ours = Journal(tmp_path)
    await keep(ours, b"first")
    with pytest.raises(JournalFull):
        await keep(ours, bytes(100))
    await keep(ours, b"small")
    ours.seal()
    assert read(journal.files(tmp_path)[0]) == [b"first", b"small"]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As a full disk does, it lets a part of a write through, and refuses the next one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_what_the_disk_takes_only_a_part_of_is_not_acknowledged(tmp_path: Path) -> None:
    ours = Journal(tmp_path)
    await keep(ours, b"first")
    (path,) = journal.files(tmp_path)
    with files_of_at_most(path.stat().st_size + 20), pytest.raises(OSError, match="bytes were written"):
        await keep(ours, bytes(100))
    await keep(ours, b"after it")
    ours.seal()
    assert sorted(rows for one in journal.files(tmp_path) for rows in read(one)) == [b"after it", b"first"]


async def test_a_file_that_is_not_held_yet_is_seen_by_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []
    hold = fcntl.flock

    def look_and_hold(*given: Any) -> None:
        seen.extend(journal.files(tmp_path))
        hold(*given)

    monkeypatch.setattr(fcntl, "flock", look_and_hold)
    ours = Journal(tmp_path)
    await keep(ours, b"first")
    ours.seal()
    assert seen == []
    assert len(journal.files(tmp_path)) == 1


async def test_what_was_removed_before_it_was_held_is_not_read_again(tmp_path: Path) -> None:
    ours = Journal(tmp_path)
    await keep(ours, b"first")
    ours.seal()
    (path,) = journal.files(tmp_path)
    with journal.held(path) as data:
        assert data
        journal.remove(path)
    with journal.held(path) as again:
        assert again is None
