"""What an operator should see of sending: how many pushes came to what, how fast they leave, and what somebody must mend."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, Protocol, assert_never

from push.channel import Accepted, NotProcessed, Outcome, Rejected, RetryAfter, Unknown, Unregistered

EXPIRED: Final = "expired"
"""The reason with which a channel leaves a message unsent whose life is over."""

ALARMS: Final = ("third_party_auth_error", "sender_id_mismatch", "campaign_paused", "credentials")
"""What a person has to look at: the APNs key; tokens of another project, above one in a hundred; a refused message; our own account."""

_CODES: Final = frozenset({"INVALID_ARGUMENT", "SENDER_ID_MISMATCH", "INVALID_MESSAGE"})
_WAITS: Final = {"project": "not_let_in", "platform": "third_party_auth_error", "message": "failed_for_now"}
_FOREIGN_SHARE_MAX: Final = 0.01


class Meter(Protocol):
    """Where it is told."""

    def count(self, outcomes: Mapping[str, int]) -> None: ...

    def rate(self, per_s: float) -> None: ...

    def alarm(self, what: str) -> None: ...


class NoMeter:
    """Nobody looks."""

    def count(self, outcomes: Mapping[str, int]) -> None: ...

    def rate(self, per_s: float) -> None: ...

    def alarm(self, what: str) -> None: ...


def tally(outcomes: Iterable[Outcome]) -> Counter[str]:
    """Outcomes by a word each; there are few words, whatever a service answers."""
    return Counter(_word(outcome) for outcome in outcomes)


def is_mostly_ours(counts: Mapping[str, int]) -> bool:
    """Whether hardly any of these addresses belonged to another project."""
    return counts.get("sender_id_mismatch", 0) <= _FOREIGN_SHARE_MAX * sum(counts.values())


def _word(outcome: Outcome) -> str:
    match outcome:
        case Rejected():
            return _word_of_rejection(outcome)
        case RetryAfter():
            return "over_quota" if outcome.is_over_quota else _WAITS[outcome.scope]
        case NotProcessed(reason):
            return EXPIRED if reason == EXPIRED else "not_processed"
        case Accepted() | Unregistered() | Unknown():
            return type(outcome).__name__.lower()
        case _:
            assert_never(outcome)


def _word_of_rejection(outcome: Rejected) -> str:
    if outcome.is_payload_fault:
        return "payload_refused"
    return outcome.code.lower() if outcome.code in _CODES else "rejected"
