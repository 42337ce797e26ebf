"""The journal of degraded decisions: what was kept is there, what was not whole is cut off, and nobody reads what is being written."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.store import journal
from service.store.journal import Journal, JournalFull

COLUMNS = ("user_id", "decision_id")


async def _at_once(rows: bytes) -> AsyncIterator[bytes]:
    yield rows


async def keep(one: Journal, rows: bytes) -> None:
    await one.copy_to_table("decisions", source=_at_once(rows), columns=COLUMNS, format="binary")


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
