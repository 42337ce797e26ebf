"""The hour of a person whose rhythm cannot be read is drawn as for somebody who has never come."""

import numpy as np
import pytest

from bandits.rhythm import Rhythm
from service.planning.moments import LearnedMoments
from service.telemetry import FAILURES
from tests import deciding


class Loaded:
    current = deciding.model()


@pytest.mark.parametrize("damaged", [b"\x01", Rhythm().pack() * 2, Rhythm().pack()[:-4] + np.float32(np.nan).tobytes()])
def test_a_rhythm_that_cannot_be_read_counts_as_none(damaged: bytes) -> None:
    moments = LearnedMoments(Loaded())
    before = FAILURES.labels("unreadable_state")._value.get()
    allowed, uniforms = [[True] * 168] * 2, [0.3, 0.3]
    assert moments.draw([damaged, b""], allowed, uniforms) == moments.draw([b"", b""], allowed, uniforms)
    assert FAILURES.labels("unreadable_state")._value.get() == before + 1
