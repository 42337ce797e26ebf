"""Which rows of a copy of all exposures another one knows too."""

from datetime import UTC, datetime

import numpy as np

from service.store.exposure_rows import _RECORD as RECORD
from service.store.exposure_rows import BLOCK_ROWS, Records, Spool


def copy(records: Records) -> Spool:
    return Spool(records, "", datetime(2026, 3, 2, tzinfo=UTC))


def test_the_rows_of_another_copy_are_found_by_decision_and_slot() -> None:
    rng, count = np.random.default_rng(3), BLOCK_ROWS + 1_000
    records = np.zeros(count, RECORD)
    records["decision_high"] = np.arange(count) // 2
    records["decision_low"] = rng.integers(0, 2**63, count)[np.arange(count) // 2]
    records["slot"] = np.arange(count) % 2
    chosen = np.sort(rng.choice(count, 5_000, replace=False))
    known, strangers = records[rng.permutation(chosen)], records[:3].copy()
    known["exposed_us"] = 7
    strangers["slot"][0] = 5
    strangers["decision_high"][1:] += 1_000_000  # the same random bits, at another instant
    found = copy(records).of(copy(np.concatenate([known, strangers])))
    np.testing.assert_array_equal(found._records, records[chosen])
    assert len(copy(records).of(copy(records[:0]))) == 0
