"""What leaves in slices, and what no longer does."""

import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from push.channel import Accepted, Message, NotProcessed, Outcome, RetryAfter, Unknown
from push.sending.latency import Latency
from push.sending.pacing import LEASE_OVER, Lease, send_spread

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
    outcomes, _ = await send_spread(notes, MESSAGES, NOW, 200.0, Lease.of(LONG))
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
    assert (await send_spread(notes, MESSAGES, NOW, rate_per_s, lease)).outcomes == [NotProcessed(LEASE_OVER)] * 40
    assert notes.sent == []


async def test_a_lease_that_ends_in_the_midst_of_a_batch_ends_the_sending() -> None:
    notes = Notes()
    outcomes, _ = await send_spread(notes, MESSAGES, NOW, 100.0, Lease.of(timedelta(seconds=0.2)))
    left = len(notes.sent)
    assert 1 < left < 39
    assert outcomes == [Accepted("m")] * left + [NotProcessed(LEASE_OVER)] * (40 - left)


async def test_nothing_leaves_after_the_service_asked_all_to_wait() -> None:
    wait = RetryAfter(9.0, "project")
    notes = Notes(wait)
    assert (await send_spread(notes, MESSAGES, NOW, 200.0, Lease.of(LONG))).outcomes == [wait] * 40
    assert len(notes.sent) == 2


def test_slow_is_twice_the_usual_and_half_a_second_more_until_it_is_usual() -> None:
    latency = Latency()
    assert not latency.is_risen(9.0), "nothing is known yet"
    assert not latency.is_risen(0.1)
    assert not latency.is_risen(0.55), "the jitter of short waits"
    assert latency.is_risen(0.65)
    slow = [latency.is_risen(0.8) for _ in range(400)]
    assert slow[0]
    assert slow == sorted(slow, reverse=True)
    assert not slow[-1]


async def test_who_asks_us_to_wait_without_an_answer_gets_no_more_of_the_batch() -> None:
    """A 503 with Retry-After: its own message is perhaps delivered, what has not left is not lost with it."""
    asked = Unknown("UNAVAILABLE", retry_after_s=30)
    notes = Notes(asked)
    outcomes, _ = await send_spread(notes, MESSAGES, NOW, 200.0, Lease.of(LONG))
    sent = len(notes.sent)
    assert 0 < sent < 40
    assert outcomes == [asked] * sent + [NotProcessed("asked to wait: UNAVAILABLE")] * (40 - sent)
    notes = Notes(Unknown("timeout"))
    await send_spread(notes, MESSAGES, NOW, 2000.0, Lease.of(LONG))
    assert len(notes.sent) == 40
