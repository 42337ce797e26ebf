"""What a message says of an offer, in the person's language, and by how much that is too long for a push."""

from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from push.channel import Message
from push.decider import Draft
from push.drawing import feedback_token
from push.fcm.limits import PAYLOAD_BYTES_MAX, payload_bytes
from schema.campaign import BUTTONS
from schema.discreet import shown_without
from schema.offer import Creative, Offer
from schema.wording import Words


class Carried(NamedTuple):
    """What a push hands to the app beside its offer."""

    decision_id: UUID
    feedback_token: str
    reservation_id: UUID | None = None

    def __repr__(self) -> str:
        return shown_without(self, "feedback_token")


class PrivateWords(NamedTuple):
    """What is said instead of an offer that nobody but the person should read on a locked phone."""

    title: str = "Something for you"
    body: str = "Open the app to see it."


PRIVATE_WORDS: Final = PrivateWords()


class Worn(NamedTuple):
    """What a push has of its campaign: a label for the channel's statistics, and buttons."""

    label: str | None = None
    buttons: tuple[str, ...] = ()


BARE: Final = Worn()
_encode: Final = msgspec.json.Encoder().encode
_LONGEST: Final = Carried(UUID(int=0), "x" * feedback_token.CHARACTERS, UUID(int=0))


def draft_of(
    offer: Offer,
    own_id: int,
    carried: Carried,
    words: Words | Creative | None = None,
    instead: PrivateWords = PRIVATE_WORDS,
    worn: Worn = BARE,
) -> Draft:
    """What is said of the offer, by default its creative; the app is told the decision, the offer, what is reserved, and where its link leads.

    Of a private offer the push says nothing at all, on the screen or in its data: the app asks for the decision once it is open.
    """
    data = _data_of(offer, carried)
    if offer.is_private():
        return Draft(own_id, instead.title, instead.body, None, data, *worn, True, offer.tags)
    said = offer.creative if words is None else words
    return Draft(own_id, said.title, said.body, said.image_url, data, *worn, False, offer.tags)


def _data_of(offer: Offer, carried: Carried) -> dict[str, str]:
    data = {"decision_id": str(carried.decision_id), "feedback_token": carried.feedback_token}
    if carried.reservation_id is not None:
        data["reservation_id"] = str(carried.reservation_id)
    if offer.is_private():
        return data | {"private": "true"}
    data["offer_id"] = offer.offer_id
    if offer.creative.deep_link:
        data["deep_link"] = offer.creative.deep_link
    return data


def message_of(draft: Draft) -> bytes:
    """A draft as the outbox keeps it: JSON in UTF-8."""
    message: dict[str, Any] = {
        "title": draft.title,
        "body": draft.body,
        "image_url": draft.image_url,
        "data": draft.data,
    }
    if draft.label is not None:
        message["label"] = draft.label
    if draft.buttons:
        message["buttons"] = draft.buttons
    if draft.is_private:
        message["private"] = True
    return _encode(message)


def excess_bytes(offer: Offer, words: Words | Creative) -> int:
    """Bytes by which a push of this offer in these words would be longer than FCM takes, with all that we may add; 0 when it fits.

    Of a private offer its words are not sent. Raises UnicodeEncodeError for a text that has no UTF-8 form.
    """
    data = _data_of(offer, _LONGEST)
    return _excess(Words(**PRIVATE_WORDS._asdict()) if offer.is_private() else words, data)


def _excess(words: Words | Creative, data: dict[str, str]) -> int:
    message = Message(
        outbox_id="",
        address="",
        address_kind="token",
        title=words.title,
        body=words.body,
        data=data,
        collapse_id=str(_LONGEST.decision_id),
        expires_at=datetime.max.replace(tzinfo=UTC),
        image_url=words.image_url,
        buttons=BUTTONS,
        is_private="private" in data,
    )
    return max(payload_bytes(message) - PAYLOAD_BYTES_MAX, 0)
