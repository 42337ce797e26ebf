"""One message to one's own phone: is the service account good, the token alive, the app set up?"""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, Final, assert_never

from push.channel import (
    Accepted,
    AddressKind,
    Channel,
    Message,
    NotProcessed,
    Outcome,
    Rejected,
    RetryAfter,
    Unknown,
    Unregistered,
)
from schema.ids import uuid7

LIFE: Final = timedelta(minutes=10)

_CODES: Final = {
    "INVALID_ARGUMENT": "This is no address that Firebase knows: a token has about 150 characters and comes from the app itself.",
    "SENDER_ID_MISMATCH": "The token belongs to an app of another Firebase project than the service account.",
}


async def send_one(channel: Channel, address: str, kind: AddressKind, title: str, body: str) -> Outcome:
    """Sends a visible message that lives ten minutes; a second one takes its place on the screen."""
    now = datetime.now(UTC)
    message = Message(
        outbox_id=str(uuid7(now, secrets.token_bytes(10))),
        address=address,
        address_kind=kind,
        title=title,
        body=body,
        data={"welltimed_test": "1"},
        collapse_id="welltimed-test",
        expires_at=now + LIFE,
    )
    await channel.open()
    try:
        (outcome,) = await channel.send([message], now)
    finally:
        await channel.close()
    return outcome


def described(outcome: Outcome) -> dict[str, Any]:
    """`{outcome, words, …}`: what it was, what to do about it, and what the service said."""
    name, words, said = _told(outcome)
    return {"outcome": name, "words": words} | said


def _told(outcome: Outcome) -> tuple[str, str, dict[str, Any]]:
    match outcome:
        case Accepted(message_name):
            words = (
                "Firebase has taken the message. If the phone does not show it within a minute: is it online, may the app show"
                " notifications, and does it have the notification channel `offers` (Android)?"
            )
            return "accepted", words, {"message_name": message_name}
        case Unregistered():
            words = (
                "The app was removed from this phone, or has a newer token: open it, and use the token it registers."
            )
            return "unregistered", words, {}
        case Rejected(code, detail):
            return (
                "rejected",
                _CODES.get(code, "Firebase refuses the message itself."),
                {"code": code, "detail": detail},
            )
        case RetryAfter():
            return "not_now", _words_of_wait(outcome), {"detail": outcome.reason, "retry_after_s": outcome.seconds}
        case NotProcessed(reason):
            return (
                "not_sent",
                "The message never left: Firebase or its token service was not reached.",
                {"detail": reason},
            )
        case Unknown(reason):
            words = "No answer came, or one that does not say: the message may arrive or not. Try again; it replaces the first."
            return "unknown", words, {"detail": reason}
        case _:
            assert_never(outcome)


def _words_of_wait(outcome: RetryAfter) -> str:
    if outcome.scope == "platform":
        return "Apple refuses the project's APNs key, or there is none: upload it in the Firebase console (Cloud Messaging)."
    if outcome.is_over_quota:
        return "The project's quota is used up, or this phone got too many messages: wait."
    if outcome.scope == "project":
        return (
            "Firebase does not let us in: is this the project's own service account, may it send (role Firebase Cloud Messaging API"
            " Admin), and is the FCM v1 API enabled?"
        )
    return "Firebase failed for now: wait and try again."
