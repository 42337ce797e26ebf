"""How long nothing is sent, also when the clock is set meanwhile."""

import time
from datetime import timedelta

import pytest

from push.sending.pause import Pause
from tests.integration.push_world import HOUR, NOW

SECOND = timedelta(seconds=1)


def test_of_two_pauses_at_once_the_longer_counts() -> None:
    pause = Pause()
    assert not pause.holds(NOW)
    pause.begin(NOW, NOW + 9 * SECOND)
    pause.begin(NOW + SECOND, NOW + 3 * SECOND)
    assert (pause.holds(NOW + 8 * SECOND), pause.holds(NOW + 9 * SECOND)) == (True, False)


def test_a_clock_that_was_ahead_for_a_while_makes_no_pause_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first pause was begun an hour ahead; after it a second one begins by the right clock."""
    pause, monotonic_s = Pause(), 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: monotonic_s)
    pause.begin(NOW + HOUR, NOW + HOUR + 5 * SECOND)
    assert pause.holds(NOW)
    monotonic_s += 5
    assert not pause.holds(NOW + 5 * SECOND)
    pause.begin(NOW + 6 * SECOND, NOW + 11 * SECOND)
    assert (pause.holds(NOW + 10 * SECOND), pause.holds(NOW + 11 * SECOND)) == (True, False)
