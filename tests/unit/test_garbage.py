"""What was imported is never looked through again, and a batch is not looked through while it is made."""

import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from service import garbage


def test_the_search_begins_anew_when_all_is_imported() -> None:
    before = gc.get_threshold()
    try:
        garbage.begin()
        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold()[0] == garbage.YOUNG_MAX
        assert gc.isenabled()
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


class Knot:
    """A cycle of one, which tells when it is found."""

    def __init__(self, found: list[int]) -> None:
        self.itself = self
        self._found = found

    def __del__(self) -> None:
        self._found.append(1)


def test_a_quiet_moment_is_used_when_there_is_something_to_find() -> None:
    before = gc.get_threshold()
    found: list[int] = []
    try:
        gc.set_threshold(garbage.YOUNG_MAX)
        gc.collect()
        looks = garbage.QuietLooks()
        Knot(found)
        looks.look()
        assert not found  # for a few objects it is not worth it
        young: list[list[int]] = [[] for _ in range(garbage.QUIET_FROM)]
        looks.look()
        assert found
        assert len(young) == garbage.QUIET_FROM
    finally:
        gc.set_threshold(*before)


def test_old_objects_are_looked_through_at_a_quiet_moment_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []
    looks = garbage.QuietLooks()
    knot = Knot(found)
    gc.collect()  # it is old now
    del knot
    looks.look()
    assert not found
    monkeypatch.setattr(garbage, "ALL_EVERY_S", -1.0)
    looks.look()
    assert found


@pytest.mark.skipif(garbage._trim is None, reason="only glibc keeps what is free")
def test_what_is_free_beneath_something_that_stays_is_given_back() -> None:
    large, small = [], []
    for _ in range(1000):
        large.append(np.ones(12_000))
        small.append(np.ones(100))
    full = own_kib()
    large.clear()
    garbage.give_back()
    assert own_kib() < full - 1000 * 96 / 2
    assert len(small) == 1000


_LARGE_AND_SMALL = """
import numpy as np
from service import garbage
from tests.unit.test_garbage import own_kib
if {apart}:
    garbage.keep_large_apart()
np.ones(2_500_000)  # freed: from now on glibc takes what is no larger from its heap
small, large, before = [], [], own_kib()
for _ in range(10):
    large.append(np.ones(1_000_000))
    small.append([np.ones(100) for _ in range(100)])
large.clear()
print((own_kib() - before) // 1024)
"""


@pytest.mark.skipif(garbage._option is None, reason="only glibc keeps what is free")
@pytest.mark.parametrize(("apart", "kept_mib_min", "kept_mib_max"), [(True, 0, 10), (False, 60, 100)])
def test_what_is_large_leaves_nothing_behind(apart: bool, kept_mib_min: int, kept_mib_max: int) -> None:
    program = _LARGE_AND_SMALL.format(apart=apart)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert kept_mib_min <= int(done.stdout) <= kept_mib_max


def own_kib() -> int:
    """Anonymous memory of this process."""
    (line,) = (one for one in Path("/proc/self/smaps_rollup").read_text().splitlines() if one.startswith("Anonymous:"))
    return int(line.split()[1])
