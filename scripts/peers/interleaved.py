"""Timing side by side: all take turns in each round, who begins changes, and a ratio is taken within its round."""

from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import NamedTuple


class Timed(NamedTuple):
    """Something to be called: `calls` times in a row each round, after a first round to warm up."""

    name: str
    call: Callable[[], object]
    calls: int


class Time(NamedTuple):
    """Median over the rounds: seconds a call, and how many times as long as the first of all takes in the same round."""

    seconds: float
    ratio: float


def measure(timed: Sequence[Timed], rounds: int) -> dict[str, Time]:
    """The first of them is the measure of the others."""
    for one in timed:
        _seconds(one)
    table = [[0.0] * len(timed) for _ in range(rounds)]
    for turn, row in enumerate(table):
        for place in range(len(timed)):
            which = (place + turn) % len(timed)
            row[which] = _seconds(timed[which])
    return {
        one.name: Time(median(row[which] for row in table), median(row[which] / row[0] for row in table))
        for which, one in enumerate(timed)
    }


def _seconds(timed: Timed) -> float:
    call = timed.call
    if timed.calls > 1:
        call()  # what the others pushed out of the caches comes back
    began = perf_counter()
    for _ in range(timed.calls):
        call()
    return (perf_counter() - began) / timed.calls
