"""A batch that leaves evenly spread: in small slices, each at its time, none after the service has said stop."""

import asyncio
import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from push.channel import Channel, Message, Outcome, RetryAfter

SLICE_S: Final = 0.01


async def send_spread(channel: Channel, messages: Sequence[Message], now: datetime, rate_per_s: float) -> list[Outcome]:
    """One outcome a message, in order. What had not left when the service asked all of us to wait is told to wait as long."""
    if math.isinf(rate_per_s):
        return await channel.send(messages, now)
    size = max(1, round(rate_per_s * SLICE_S))
    starts = range(0, len(messages), size)
    spread = _Spread(channel, now)
    slices = [spread.send(messages[start : start + size], start / rate_per_s) for start in starts]
    return [outcome for part in await asyncio.gather(*slices) for outcome in part]


class _Spread:
    def __init__(self, channel: Channel, now: datetime) -> None:
        self._channel = channel
        self._now = now
        self._stopped: RetryAfter | None = None

    async def send(self, messages: Sequence[Message], after_s: float) -> list[Outcome]:
        await asyncio.sleep(after_s)
        if self._stopped is not None:
            return [self._stopped] * len(messages)
        outcomes = await self._channel.send(messages, self._now)
        stops = (outcome for outcome in outcomes if isinstance(outcome, RetryAfter) and outcome.scope == "project")
        self._stopped = next(stops, self._stopped)
        return outcomes
