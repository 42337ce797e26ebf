"""What follows from the outcome of one delivery: the new state of its row. Pure."""

from datetime import datetime, timedelta
from typing import assert_never

from push import retry
from push.channel import Accepted, NotProcessed, Outcome, Rejected, RetryAfter, Unknown, Unregistered
from push.channels.deliveries import Settled
from push.channels.delivery_claim import Delivery
from push.meter import EXPIRED
from push.outbox import State
from push.sending.settlement import REASON_CHARACTERS_MAX


def settled(row: Delivery, outcome: Outcome, now: datetime, *, is_known_again: bool) -> Settled:
    """A receiver to whom a copy `is_known_again` may get one: what was perhaps taken is sent once more, as is what a person waits for."""
    match outcome:
        case Accepted():
            found = _final(row, State.ACCEPTED, outcome.message_name)
        case Unregistered():
            found = _final(row, State.FAILED, "unregistered")
        case Rejected(code, detail):
            found = _final(row, State.FAILED, f"{code}: {detail}")
        case RetryAfter():
            found = _again(row, outcome.reason, now, timedelta(seconds=outcome.seconds))
        case NotProcessed(reason) if reason == EXPIRED:
            found = _final(row, State.EXPIRED, reason)
        case NotProcessed(reason):
            found = _again(row, reason, now, retry.UNSENT, is_counted=False)
        case Unknown(reason):
            may_repeat = is_known_again or row.campaign.campaign.kind == "transactional"
            found = _again(row, reason, now, retry.UNSENT) if may_repeat else _final(row, State.UNKNOWN, reason)
        case _:
            assert_never(outcome)
    return found


def _final(row: Delivery, state: State, outcome: str) -> Settled:
    return Settled(row.user_id, row.delivery_id, row.fence, state, outcome[:REASON_CHARACTERS_MAX])


def _again(row: Delivery, reason: str, now: datetime, first: timedelta, *, is_counted: bool = True) -> Settled:
    """Later, until its life is over; what was taken to pieces by the receiver ten times is given up."""
    if is_counted and row.attempts >= retry.ATTEMPTS_MAX:
        return _final(row, State.FAILED, reason)
    retry_at = now + retry.wait(first, row.attempts, row.outbox_id)
    if retry_at >= row.expires_at:
        return _final(row, State.EXPIRED, reason)
    reason = reason[:REASON_CHARACTERS_MAX]
    return Settled(row.user_id, row.delivery_id, row.fence, State.READY, reason, retry_at)
