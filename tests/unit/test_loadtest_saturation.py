"""Where a server saturates, of steps whose outcome is given."""

from typing import Any

import pytest

from loadtest import saturation
from loadtest.saturation import Step


async def found(monkeypatch: pytest.MonkeyPatch, carried: list[bool]) -> saturation.Saturation:
    """Of a server that got 100 a second in the closed loop."""
    outcomes = iter(carried)

    async def step(_bench: Any, per_s: float, _seconds: float, _number: int) -> Step:
        return Step(
            per_s=per_s, answered_per_s=per_s, p50_ms=1.0, p99_ms=2.0, end_median_ms=1.0, is_carried=next(outcomes)
        )

    monkeypatch.setattr(saturation, "_step", step)
    bench: Any = None
    return await saturation.find(bench, 100.0, 1.0, lambda _: None)


async def test_a_step_that_a_stall_has_spoilt_is_tried_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    told = await found(monkeypatch, [True, False, True, *[False] * 6])
    assert (told.per_s, told.is_found) == (65.0, True)
    assert [step.per_s for step in told.steps] == [50.0, 65.0, 65.0, 80.0, 80.0, 72.5, 72.5, 68.75, 68.75]


async def test_between_two_steps_it_is_looked_for_by_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    told = await found(monkeypatch, [True, False, False, False, True, False, False])
    assert (told.per_s, told.is_found) == (57.5, True)
    assert [step.per_s for step in told.steps[3:]] == [57.5, 57.5, 61.25, 61.25]


async def test_the_highest_step_may_be_carried(monkeypatch: pytest.MonkeyPatch) -> None:
    told = await found(monkeypatch, [True] * 7)
    assert (told.per_s, told.is_found, len(told.steps)) == (125.0, True, 7)


async def test_where_not_even_half_is_carried_lower_rates_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    told = await found(monkeypatch, [False, False, False, True])
    assert (told.per_s, told.is_found) == (25.0, True)
