"""How long the learner waits for more: not at all where little comes, longer where much does, never long."""

import pytest

from service.learning import pauses


@pytest.mark.parametrize(
    ("counted", "seconds"),
    [(0, 0.0), (127, 0.0), (128, 0.1), (1_000, 0.1), (2_500, 0.25), (4_000, 0.4), (8_000, 0.8), (1_000_000, 0.8)],
)
def test_the_more_a_pass_has_counted_the_longer_it_is_waited(counted: int, seconds: float) -> None:
    assert pauses.after(counted) == pytest.approx(seconds)
