"""What an answer of FCM means for the message, by way of the SDK's own errors."""

from collections.abc import Callable, Mapping
from typing import Final

from firebase_admin import exceptions, messaging

from push.channel import Accepted, Outcome, Rejected, RetryAfter, Unknown, Unregistered
from push.fcm.answer import Error, read_answer
from push.fcm.transport import Posted, Reply

_PROJECT_PAUSE_S = 60
_MESSAGE_PAUSE_S = 10
_PLATFORM_PAUSE_S = 900

# The SDK's own table of FCM codes, then google.rpc's; both are looked up by name, as the SDK does.
_ERRORS: Final[Mapping[str, Callable[[str], exceptions.FirebaseError]]] = {
    "APNS_AUTH_ERROR": messaging.ThirdPartyAuthError,
    "QUOTA_EXCEEDED": messaging.QuotaExceededError,
    "SENDER_ID_MISMATCH": messaging.SenderIdMismatchError,
    "THIRD_PARTY_AUTH_ERROR": messaging.ThirdPartyAuthError,
    "UNREGISTERED": messaging.UnregisteredError,
    "INVALID_ARGUMENT": exceptions.InvalidArgumentError,
    "UNAUTHENTICATED": exceptions.UnauthenticatedError,
    "PERMISSION_DENIED": exceptions.PermissionDeniedError,
    "NOT_FOUND": exceptions.NotFoundError,
    "RESOURCE_EXHAUSTED": exceptions.ResourceExhaustedError,
    "INTERNAL": exceptions.InternalError,
    "UNAVAILABLE": exceptions.UnavailableError,
}
_STATUS_NAMES: Final[Mapping[int, str]] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


def firebase_error(reply: Reply) -> exceptions.FirebaseError:
    """The SDK's error for an answer other than success."""
    error = read_answer(reply.body).error
    text = error.message or f"HTTP {reply.status}"
    for name in (error.fcm_code, error.status, _STATUS_NAMES.get(reply.status, "")):
        if name in _ERRORS:
            return _ERRORS[name](text)
    return exceptions.UnknownError(text)


def _refusal(error: exceptions.FirebaseError, details: Error) -> Unregistered | Rejected | None:
    match error:
        case messaging.UnregisteredError():
            return Unregistered()
        case messaging.SenderIdMismatchError():
            return Rejected(details.fcm_code, str(error), is_payload_fault=False)
        case exceptions.InvalidArgumentError():
            return Rejected(error.code, str(error), is_payload_fault=not details.is_about_address)
    return None


def _pause(error: exceptions.FirebaseError, retry_after_s: int) -> RetryAfter | None:
    reason = f"{error.code}: {error}"
    match error:
        case messaging.ThirdPartyAuthError():  # an UnauthenticatedError too, and so before it
            return RetryAfter(_PLATFORM_PAUSE_S, "platform", f"THIRD_PARTY_AUTH_ERROR: {error}")
        case exceptions.ResourceExhaustedError():
            return RetryAfter(retry_after_s or _PROJECT_PAUSE_S, "project", reason, is_over_quota=True)
        case exceptions.UnauthenticatedError() | exceptions.PermissionDeniedError() | exceptions.NotFoundError():
            # Our credentials, their rights or the project's name: no message can do better until someone mends it.
            return RetryAfter(_PROJECT_PAUSE_S, "project", reason)
        case exceptions.InternalError():
            return RetryAfter(retry_after_s or _MESSAGE_PAUSE_S, "message", reason)
    return None


def outcome_of(reply: Reply) -> Outcome:
    """What an answer means for the message. Unavailable (503) may have been delivered all the same: it is unknown."""
    answer = read_answer(reply.body)
    if reply.status == 200:
        return Accepted(answer.name) if answer.name else Unknown("200 without a message name")
    error = firebase_error(reply)
    outcome = _refusal(error, answer.error) or _pause(error, reply.retry_after_s)
    if outcome is None and 400 <= reply.status < 500:
        return Rejected(f"HTTP_{reply.status}", str(error), is_payload_fault=True)
    return outcome or Unknown(f"{error.code}: {error}", reply.retry_after_s)


def is_refused_token(reply: Posted) -> bool:
    """Whether another access token may do what this one could not."""
    if not isinstance(reply, Reply) or reply.status != 401:
        return False
    return not isinstance(firebase_error(reply), messaging.ThirdPartyAuthError)
