"""What follows from outcomes, as a function: states, waits, and what is not sent again."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from push import retry
from push.channel import Accepted, NotProcessed, Outcome, Rejected, RetryAfter, Unknown, Unregistered
from push.outbox import Key, State
from push.sending.claim import ReadyRow
from push.sending.pacing import LEASE_OVER
from push.sending.settlement import SILENCE_MIN, Place, Result, settlement
from tests.integration.push_world import NOW

CAMPAIGN = UUID(int=1)
SECOND = timedelta(seconds=1)


def row(
    user_id: int = 1,
    attempts: int = 1,
    campaign: UUID = CAMPAIGN,
    life: timedelta = timedelta(hours=6),
    **changes: Any,
) -> ReadyRow:
    return ReadyRow(
        Key(user_id, campaign, NOW),
        UUID(int=user_id),
        NOW + life,
        UUID(int=9),
        7,
        {},
        f"a{user_id}",
        "token",
        1,
        attempts,
        **changes,
    )


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Accepted("m"), State.ACCEPTED),
        (Unregistered(), State.FAILED),
        (Rejected("X", "y", is_payload_fault=False), State.FAILED),
        (RetryAfter(10, "message"), State.READY),
        (RetryAfter(10, "project"), State.READY),
        (NotProcessed("expired"), State.EXPIRED),
        (NotProcessed("refused"), State.READY),
        (Unknown("timeout"), State.UNKNOWN),
    ],
)
def test_each_outcome_has_its_state(outcome: Outcome, state: State) -> None:
    (settled,) = settlement([(row(), outcome)], NOW).settled
    assert settled.state is state
    assert (settled.retry_at is not None) == (state is State.READY)


def test_a_wait_beyond_the_life_of_the_message_ends_it() -> None:
    short = row(life=5 * SECOND)
    assert settlement([(short, RetryAfter(10, "message"))], NOW).settled[0].state is State.EXPIRED
    assert settlement([(short, RetryAfter(4, "message"))], NOW).settled[0].state is State.READY


def test_a_message_refused_again_and_again_fails_but_a_full_quota_does_not_count() -> None:
    tired = row(attempts=retry.ATTEMPTS_MAX)
    assert settlement([(tired, RetryAfter(10, "message"))], NOW).settled[0].state is State.FAILED
    assert settlement([(tired, RetryAfter(10, "project"))], NOW).settled[0].retry_at == NOW + 10 * SECOND


def test_waits_grow_with_jitter_up_to_an_hour() -> None:
    waits = [[retry.wait(5 * SECOND, attempts, UUID(int=n)) for n in range(200)] for attempts in (1, 3, 30)]
    assert set(waits[0]) == {5 * SECOND}
    assert min(waits[1]) >= 5 * SECOND
    assert 15 * SECOND < max(waits[1]) <= 20 * SECOND
    assert timedelta(minutes=55) < max(waits[2]) <= timedelta(hours=1)
    assert len(set(waits[1])) > 190
    assert retry.wait(timedelta(hours=2), 3, UUID(int=1)) == timedelta(hours=2)


def test_the_longest_pause_of_the_project_counts_and_silence_pauses_too() -> None:
    quota: list[Result] = [
        (row(1), Accepted("m")),
        (row(2), RetryAfter(3, "project")),
        (row(3), RetryAfter(9, "project")),
    ]
    assert settlement(quota, NOW).paused_until == NOW + 9 * SECOND
    assert settlement([(row(), NotProcessed("refused"))], NOW).paused_until == NOW + retry.UNSENT
    others: list[Outcome] = [NotProcessed("expired"), Accepted("m"), Unknown("timeout"), RetryAfter(10, "message")]
    for some in others:
        results: list[Result] = [(row(1), some), (row(2), NotProcessed("expired"))]
        assert settlement(results, NOW).paused_until is None


def test_who_asks_to_wait_is_obeyed_and_who_answers_nothing_is_not_given_the_whole_outbox() -> None:
    asked = settlement([(row(1), Unknown("UNAVAILABLE", retry_after_s=30)), (row(2), Accepted("m"))], NOW)
    assert (asked.paused_until, asked.asked_to_wait_s) == (NOW + 30 * SECOND, 30)
    assert not asked.is_over_quota
    assert settlement([(row(may_repeat=True), Unknown("x", 30))], NOW).settled[0].retry_at == NOW + 30 * SECOND
    silence: list[Result] = [(row(n), Unknown("timeout")) for n in range(SILENCE_MIN)]
    silent = settlement([*silence, (row(99), NotProcessed("refused"))], NOW)
    assert (silent.is_unanswered, silent.paused_until) == (True, NOW + retry.UNSENT)
    for some in (silence[1:], [*silence, (row(99), Accepted("m"))]):
        heard = settlement(some, NOW)
        assert (heard.is_unanswered, heard.paused_until) == (False, None)


def test_an_invalid_address_is_dead_only_beside_an_accepted_message_of_its_campaign() -> None:
    invalid = Rejected("INVALID_ARGUMENT", "bad token", is_payload_fault=False)
    other = row(2, campaign=UUID(int=2))
    assert settlement([(row(1), invalid), (other, Accepted("m"))], NOW).dead == []
    assert settlement([(row(1), invalid), (row(2), Accepted("m"))], NOW).dead == [Place(1, "a1")]
    fault = settlement(
        [(row(1), Rejected("INVALID_ARGUMENT", "big", is_payload_fault=True)), (row(2), Accepted("m"))], NOW
    )
    assert (fault.dead, fault.foreign, fault.faulty) == ([], [], {CAMPAIGN: "INVALID_ARGUMENT: big"})


def test_what_is_transactional_is_sent_again_while_it_lives_and_has_attempts_left() -> None:
    lost = Unknown("timeout")
    (refused_before,) = settlement([(row(may_repeat=True, attempts=retry.ATTEMPTS_MAX), lost)], NOW).settled
    assert refused_before.retry_at == NOW + retry.UNANSWERED, "a quota that was full is no attempt that perhaps arrived"
    (again,) = settlement([(row(may_repeat=True), lost)], NOW).settled
    assert (again.state, again.retry_at, again.is_unknown) == (State.READY, NOW + retry.UNANSWERED, True)
    for given in (
        row(),
        row(may_repeat=True, attempts=retry.ATTEMPTS_MAX, unknowns=retry.ATTEMPTS_MAX - 1),
        row(may_repeat=True, life=retry.UNANSWERED),
    ):
        (ended,) = settlement([(given, lost)], NOW).settled
        assert (ended.state, ended.retry_at, ended.is_unknown) == (State.UNKNOWN, None, True)


@pytest.mark.parametrize(
    "outcome",
    [Unregistered(), Rejected("X", "y", is_payload_fault=False), NotProcessed("expired"), RetryAfter(1e6, "project")],
)
def test_after_an_attempt_that_nobody_knows_of_nothing_says_that_it_was_not_sent(outcome: Outcome) -> None:
    after = settlement([(row(may_repeat=True, unknowns=1), outcome)], NOW)
    assert after.settled[0].state is State.UNKNOWN
    assert not after.settled[0].is_unknown, "this attempt is known"
    assert after.unsent == []


def test_what_did_not_leave_in_its_lease_is_ready_again_and_pauses_nobody() -> None:
    after = settlement([(row(), NotProcessed(LEASE_OVER))], NOW)
    assert (after.settled[0].state, after.paused_until) == (State.READY, None)
    assert after.unsent != []
