"""Where counters are kept: in memory where there is some, gone with whoever held it."""

import os
import stat
from pathlib import Path

import pytest

from service import metrics_dir

LONG_AGO = (1_000_000_000, 1_000_000_000)


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "memory"
    folder.mkdir()
    monkeypatch.setattr(metrics_dir, "MEMORY", folder)
    monkeypatch.setattr(metrics_dir, "MEMORY_BYTES_MIN", 0)
    return folder


def test_it_is_in_memory_ours_alone_and_gone_in_the_end(memory: Path, tmp_path: Path) -> None:
    with metrics_dir.made(tmp_path / "data") as made:
        assert made.parent == memory
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
        (made / "counter_1.db").touch()
    assert not made.exists()


def test_where_there_is_little_memory_it_is_in_the_data_directory(
    memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_dir, "MEMORY_BYTES_MIN", 2**62)
    with metrics_dir.made(tmp_path / "data") as made:
        assert made.parent == tmp_path / "data"
    assert list(memory.iterdir()) == []


def test_what_a_killed_supervisor_left_is_discarded_and_what_is_held_stays(memory: Path, tmp_path: Path) -> None:
    left = memory / "welltimed-metrics-left"
    left.mkdir()
    (left / "counter_1.db").touch()
    os.utime(left, LONG_AGO)
    with metrics_dir.made(tmp_path / "data") as first:
        assert not left.exists()
        os.utime(first, LONG_AGO)
        with metrics_dir.made(tmp_path / "data") as second:
            assert first.exists()
            assert second != first
