"""What was imported is never looked through again, and a batch is not looked through while it is made."""

import gc
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


def own_kib() -> int:
    """Anonymous memory of this process."""
    (line,) = (one for one in Path("/proc/self/smaps_rollup").read_text().splitlines() if one.startswith("Anonymous:"))
    return int(line.split()[1])
