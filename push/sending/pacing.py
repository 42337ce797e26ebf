"""A batch that leaves evenly spread: in small slices, each at its time, none after the service has said stop or its lease has ended."""

import asyncio
import math
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Self

from push.channel import Channel, Message, NotProcessed, Outcome, RetryAfter, Unknown

SLICE_S: Final = 0.01

LEASE_OVER: Final = "lease_over"
"""The reason of what did not leave while it was ours: a process that stood still may find that others have taken it for dead."""


class Lease(NamedTuple):
    """Until when what was claimed is ours, on two clocks: the one of the lease may be set, the other may stand still in a suspended machine."""

    ends_at: datetime
    ends_at_monotonic_s: float

    @classmethod
    def of(cls, length: timedelta) -> Self:
        """Begins now, before the claim."""
        return cls(datetime.now(UTC) + length, time.monotonic() + length.total_seconds())

    def is_over(self) -> bool:
        """By either clock."""
        return datetime.now(UTC) >= self.ends_at or time.monotonic() >= self.ends_at_monotonic_s


class Spread(NamedTuple):
    """One outcome a message, in order, and how long a slice of them waited for its answers: the median, so that one straggler says nothing."""

    outcomes: list[Outcome]
    waited_s: float


async def send_spread(
    channel: Channel, messages: Sequence[Message], now: datetime, rate_per_s: float, lease: Lease
) -> Spread:
    """Sends all. What had not left when the service asked all of us to wait does not."""
    spread = _Spread(channel, now, lease)
    if math.isinf(rate_per_s):
        return Spread(await spread.send(messages, 0.0), spread.waited_s())
    size = max(1, round(rate_per_s * SLICE_S))
    starts = range(0, len(messages), size)
    slices = [spread.send(messages[start : start + size], start / rate_per_s) for start in starts]
    outcomes = [outcome for part in await asyncio.gather(*slices) for outcome in part]
    return Spread(outcomes, spread.waited_s())


class _Spread:
    def __init__(self, channel: Channel, now: datetime, lease: Lease) -> None:
        self._channel = channel
        self._now = now
        self._lease = lease
        self._waits_s: list[float] = []
        self._stopped: RetryAfter | NotProcessed | None = None

    async def send(self, messages: Sequence[Message], after_s: float) -> list[Outcome]:
        if after_s:
            await asyncio.sleep(after_s)
        if self._lease.is_over():
            return [NotProcessed(LEASE_OVER)] * len(messages)
        if self._stopped is not None:
            return [self._stopped] * len(messages)
        began = time.monotonic()
        outcomes = await self._channel.send(messages, self._now)
        self._waits_s.append(time.monotonic() - began)
        self._stopped = next((stop for outcome in outcomes if (stop := _stop(outcome)) is not None), self._stopped)
        return outcomes

    def waited_s(self) -> float:
        return statistics.median(self._waits_s) if self._waits_s else 0.0


def _stop(outcome: Outcome) -> RetryAfter | NotProcessed | None:
    """What is told to those that have not left yet; None when they may leave."""
    if isinstance(outcome, RetryAfter) and outcome.scope == "project":
        return outcome
    if isinstance(outcome, Unknown) and outcome.retry_after_s:
        return NotProcessed(f"asked to wait: {outcome.reason}")
    return None
