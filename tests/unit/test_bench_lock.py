"""The locks of the comparison: a hash for everything, no address, and our own dependencies in the versions we ship."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "scripts" / "peers"
LIBRARIES = {"vowpalwabbit", "mabwiser", "bayesianbandits", "gittins"}


def pinned(lock: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)(?:\[[a-z,]+\])?==([^\s;\\]+)", lock.read_text(), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


@pytest.mark.parametrize("name", ["requirements.lock", "source.lock"])
def test_hashes_and_no_addresses(name: str) -> None:
    text = (PEERS / name).read_text()
    assert not re.search(r"https?:|^\s*-(?!-hash)|^--|--(extra-)?index|--find-links| @ |git\+", text, re.MULTILINE)
    for requirement in re.split(r"\n(?=[a-z0-9])", text.strip()):
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", requirement), requirement[:80]


def test_every_library_is_there() -> None:
    assert pinned(PEERS / "requirements.lock").keys() >= LIBRARIES
    assert pinned(PEERS / "source.lock").keys() == {"contextualbandits"}


def test_what_our_engine_needs_has_the_versions_of_our_own_lock() -> None:
    ours, theirs = pinned(ROOT / "requirements.lock"), pinned(PEERS / "requirements.lock")
    shared = ours.keys() & theirs.keys()
    assert {"numba", "numpy", "msgspec", "llvmlite", "pyarrow"} <= shared
    assert {name: theirs[name] for name in shared} == {name: ours[name] for name in shared}
