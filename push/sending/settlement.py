"""What follows from the outcomes of one batch: the new state of each row, and what is learned of addresses and campaigns."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple, assert_never
from uuid import UUID

from push import retry
from push.channel import Accepted, NotProcessed, Outcome, Rejected, RetryAfter, Unknown, Unregistered
from push.meter import EXPIRED
from push.outbox import Settled, State
from push.release import UNTOLD
from push.sending.claim import ReadyRow
from push.sending.pacing import LEASE_OVER
from schema.discreet import shown_without

REASON_CHARACTERS_MAX: Final = 200
SILENCE_MIN: Final = 10
"""So many messages of a batch, and all of it, must go unanswered to say something of the service."""

Result = tuple[ReadyRow, Outcome]


class Place(NamedTuple):
    """An address of a person."""

    user_id: int
    address: str

    def __repr__(self) -> str:
        return shown_without(self, "address")


class Settlement(NamedTuple):
    """Everything to be written after one batch.

    `unsent` are those of which it is certain that nobody got them: user id and outbox id of each by its fence. `paused_until` says that
    nothing of the project may be sent before, `asked_to_wait_s` that the service itself said so, on any node; with `is_unanswered` it
    took messages and said nothing to any of them; `stopped` are platforms that cannot be reached, for so many seconds.
    """

    settled: list[Settled]
    unsent: list[tuple[int, tuple[int, UUID]]]
    accepted: list[ReadyRow]
    dead: list[Place]
    foreign: list[Place]
    faulty: dict[UUID, str]
    paused_until: datetime | None
    asked_to_wait_s: float
    is_over_quota: bool
    is_unanswered: bool
    stopped: dict[str, float]


def settlement(results: Sequence[Result], now: datetime) -> Settlement:
    """Judges a batch as a whole; a function of its arguments alone."""
    accepted = [row for row, outcome in results if isinstance(outcome, Accepted)]
    # What is not accepted is looked at again and again, and is rare.
    others = [(row, outcome) for row, outcome in results if not isinstance(outcome, Accepted)]
    waits = [outcome for _, outcome in others if isinstance(outcome, RetryAfter)]
    project = [wait for wait in waits if wait.scope == "project"]
    asked_s = [wait.seconds for wait in project]
    asked_s += [one.retry_after_s for _, one in others if isinstance(one, Unknown) and one.retry_after_s]
    sound = {row.key.campaign_id for row in accepted} if others else set()
    is_unanswered = _is_unanswered(results)
    return Settlement(
        settled=[_settled(row, outcome, now) for row, outcome in results],
        unsent=[
            (row.fence, (row.key.user_id, row.outbox_id))
            for row, outcome in others
            if not isinstance(outcome, Unknown) and not row.unknowns
        ],
        accepted=accepted,
        dead=_places(others, lambda row, outcome: _is_dead(outcome, is_payload_sound=row.key.campaign_id in sound)),
        foreign=_places(others, lambda _, outcome: _has_code(outcome, "SENDER_ID_MISMATCH")),
        faulty=_faulty(others),
        paused_until=_paused_until(results, asked_s, now, is_unanswered=is_unanswered),
        asked_to_wait_s=max(asked_s, default=0.0),
        is_over_quota=any(wait.is_over_quota for wait in project),
        is_unanswered=is_unanswered,
        stopped={
            row.platform: outcome.seconds
            for row, outcome in others
            if isinstance(outcome, RetryAfter) and outcome.scope == "platform"
        },
    )


def _settled(row: ReadyRow, outcome: Outcome, now: datetime) -> Settled:
    match outcome:
        case Accepted():
            settled = _final(row, State.ACCEPTED, outcome.message_name)
        case Unregistered():
            settled = _final(row, State.FAILED, "unregistered")
        case Rejected(code, detail):
            settled = _final(row, State.FAILED, f"{code}: {detail}")
        case RetryAfter():
            settled = _refused_for_now(row, outcome, now)
        case NotProcessed(reason) if reason == EXPIRED:
            settled = _final(row, State.EXPIRED, reason)
        case NotProcessed(reason):
            settled = _again(row, reason, now, retry.wait(retry.UNSENT, row.attempts, row.outbox_id))
        case Unknown(reason, retry_after_s):
            settled = _unanswered(row, reason, retry_after_s, now)
        case _:
            assert_never(outcome)
    return settled


def _refused_for_now(row: ReadyRow, outcome: RetryAfter, now: datetime) -> Settled:
    wait = timedelta(seconds=outcome.seconds)
    if outcome.scope != "message":
        return _again(row, outcome.reason, now, wait)
    if row.attempts >= retry.ATTEMPTS_MAX:
        return _final(row, State.FAILED, outcome.reason)
    return _again(row, outcome.reason, now, retry.wait(wait, row.attempts, row.outbox_id))


def _unanswered(row: ReadyRow, reason: str, retry_after_s: float, now: datetime) -> Settled:
    settled = _final(row, State.UNKNOWN, reason)
    # Those that were refused, as by a full quota, do not count.
    unanswered = row.unknowns + 1
    if row.may_repeat and unanswered < retry.ATTEMPTS_MAX:
        first = max(retry.UNANSWERED, timedelta(seconds=retry_after_s))
        retry_at = now + retry.wait(first, unanswered, row.outbox_id)
        if retry_at < row.expires_at:
            settled = settled._replace(state=State.READY, retry_at=retry_at)
    return settled._replace(is_unknown=True)


def _final(row: ReadyRow, state: State, outcome: str) -> Settled:
    if row.unknowns and state in UNTOLD:
        state = State.UNKNOWN
    return Settled(row.key, row.fence, state, outcome[:REASON_CHARACTERS_MAX])


def _again(row: ReadyRow, reason: str, now: datetime, wait: timedelta) -> Settled:
    retry_at = now + wait
    if retry_at >= row.expires_at:
        return _final(row, State.EXPIRED, reason)
    return Settled(row.key, row.fence, State.READY, reason[:REASON_CHARACTERS_MAX], retry_at)


def _places(results: Sequence[Result], is_meant: Callable[[ReadyRow, Outcome], bool]) -> list[Place]:
    return [Place(row.key.user_id, row.address) for row, outcome in results if is_meant(row, outcome)]


def _is_dead(outcome: Outcome, *, is_payload_sound: bool) -> bool:
    # FCM says INVALID_ARGUMENT of a bad token and of a bad message: only a message it took elsewhere convicts the token.
    is_invalid = _has_code(outcome, "INVALID_ARGUMENT") and is_payload_sound
    return isinstance(outcome, Unregistered) or is_invalid


def _has_code(outcome: Outcome, code: str) -> bool:
    return isinstance(outcome, Rejected) and not outcome.is_payload_fault and outcome.code == code


def _faulty(results: Sequence[Result]) -> dict[UUID, str]:
    faults: dict[UUID, str] = {}
    for row, outcome in results:
        if isinstance(outcome, Rejected) and outcome.is_payload_fault:
            faults.setdefault(row.key.campaign_id, f"{outcome.code}: {outcome.detail}")
    return faults


def _is_unanswered(results: Sequence[Result]) -> bool:
    outcomes = [outcome for _, outcome in results]
    is_silent = all(isinstance(outcome, Unknown | NotProcessed) for outcome in outcomes)
    return is_silent and sum(isinstance(outcome, Unknown) for outcome in outcomes) >= SILENCE_MIN


def _paused_until(
    results: Sequence[Result], asked_s: Sequence[float], now: datetime, *, is_unanswered: bool
) -> datetime | None:
    if asked_s:
        return now + timedelta(seconds=max(asked_s))
    if is_unanswered or all(
        isinstance(outcome, NotProcessed) and outcome.reason not in {EXPIRED, LEASE_OVER} for _, outcome in results
    ):
        # Nobody answers: there is no use in trying the whole outbox at once.
        return now + retry.UNSENT
    return None
