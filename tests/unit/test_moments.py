"""The hour of a person whose rhythm cannot be read is drawn as for somebody who has never come."""

import numpy as np
import pytest

from bandits.rhythm import Rhythm
from push.planning.audience import Reachable, people_of
from service.planning.moments import LearnedMoments
from service.telemetry import FAILURES
from tests import deciding


class Loaded:
    current = deciding.model()


@pytest.mark.parametrize("damaged", [b"\x01", Rhythm().pack() * 2, Rhythm().pack()[:-4] + np.float32(np.nan).tobytes()])
def test_a_rhythm_that_cannot_be_read_counts_as_none(damaged: bytes) -> None:
    moments = LearnedMoments(Loaded()).current()
    before = FAILURES.labels("unreadable_state")._value.get()
    people = people_of([Reachable(1, None, damaged), Reachable(2, None, b"")], moments.rhythm_bytes)
    hours, propensities = moments.draw(people.rhythms, np.ones((1, 168), np.bool_), people.clock, np.array([0.3, 0.3]))
    assert hours[0] == hours[1] >= 0
    assert propensities[0] == propensities[1] > 0.0
    assert FAILURES.labels("unreadable_state")._value.get() == before + 1
