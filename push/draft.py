"""What a push says of an offer, and by how much that is too long for a message."""

from uuid import UUID

from push.decider import Draft
from push.fcm.limits import PAYLOAD_BYTES_MAX, content_bytes
from schema.offer import Offer

_ANY_ID = UUID(int=0)


def draft_of(offer: Offer, own_id: int, decision_id: UUID, reservation_id: UUID | None = None) -> Draft:
    """The words of the offer's creative; the app is told the decision, the offer, what is reserved, and where its link leads."""
    creative = offer.creative
    data = {"decision_id": str(decision_id), "offer_id": offer.offer_id}
    if reservation_id is not None:
        data["reservation_id"] = str(reservation_id)
    if creative.deep_link:
        data["deep_link"] = creative.deep_link
    return Draft(own_id, creative.title, creative.body, creative.image_url, data)


def excess_bytes(offer: Offer) -> int:
    """Bytes by which a push of this offer would be longer than FCM takes, with the data that we add; 0 when it fits.

    Raises UnicodeEncodeError for a text that has no UTF-8 form.
    """
    draft = draft_of(offer, 0, _ANY_ID, _ANY_ID)
    return max(content_bytes(draft.title, draft.body, draft.image_url, draft.data) - PAYLOAD_BYTES_MAX, 0)
