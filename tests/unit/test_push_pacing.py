"""What leaves in slices, and what no longer does."""

import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from push.channel import Accepted, Message, NotProcessed, Outcome, RetryAfter
from push.pacing import LEASE_OVER, Lease, send_spread

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
LONG = timedelta(seconds=60)


class Notes:
    """A channel that notes what it was given, and answers all alike."""

    name = account = "notes"

    def __init__(self, outcome: Outcome | None = None) -> None:
        self.outcome = Accepted("m") if outcome is None else outcome
        self.sent: list[Message] = []

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, messages: Sequence[Message], now: datetime) -> list[Outcome]:
        self.sent += messages
        return [self.outcome] * len(messages)


def message(number: int) -> Message:
    return Message(
        outbox_id=str(number),
        address="a",
        address_kind="token",
        title="t",
        body="b",
        data={},
        collapse_id="c",
        expires_at=NOW,
    )


MESSAGES = [message(number) for number in range(40)]


async def test_slices_leave_at_their_time_and_outcomes_keep_the_order() -> None:
    notes, began = Notes(), time.monotonic()
    outcomes = await send_spread(notes, MESSAGES, NOW, 200.0, Lease.of(LONG))
    assert outcomes == [Accepted("m")] * 40
    assert notes.sent == MESSAGES
    assert time.monotonic() - began >= 38 / 200


@pytest.mark.parametrize("rate_per_s", [math.inf, 200.0])
@pytest.mark.parametrize("clock", ["wall", "monotonic"])
async def test_what_would_leave_after_its_lease_does_not(rate_per_s: float, clock: str) -> None:
    lease, notes = Lease.of(LONG), Notes()
    if clock == "wall":  # set forward, or the machine was suspended
        lease = lease._replace(ends_at=datetime.now(UTC))
    else:  # the clock of the lease was set back meanwhile
        lease = lease._replace(ends_at_monotonic_s=time.monotonic())
    assert await send_spread(notes, MESSAGES, NOW, rate_per_s, lease) == [NotProcessed(LEASE_OVER)] * 40
    assert notes.sent == []


async def test_a_lease_that_ends_in_the_midst_of_a_batch_ends_the_sending() -> None:
    notes = Notes()
    outcomes = await send_spread(notes, MESSAGES, NOW, 100.0, Lease.of(timedelta(seconds=0.2)))
    left = len(notes.sent)
    assert 1 < left < 39
    assert outcomes == [Accepted("m")] * left + [NotProcessed(LEASE_OVER)] * (40 - left)


async def test_nothing_leaves_after_the_service_asked_all_to_wait() -> None:
    wait = RetryAfter(9.0, "project")
    notes = Notes(wait)
    assert await send_spread(notes, MESSAGES, NOW, 200.0, Lease.of(LONG)) == [wait] * 40
    assert len(notes.sent) == 2
