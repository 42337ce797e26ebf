"""What lies in a person's in-app inbox."""

from datetime import datetime
from uuid import UUID

from schema.base import Kept
from schema.decision import Reservation
from schema.offer import Creative


class InboxItem(Kept, frozen=True, omit_defaults=True):
    """An offer that was decided for this person, until `expires_at`; feedback names its decision, slot 0.

    It is read once it was opened, wherever. An offer without an end has no `reservation`.
    """

    decision_id: UUID
    campaign_id: str
    offer_id: str
    creative: Creative
    put_at: datetime
    expires_at: datetime
    is_read: bool
    reservation: Reservation | None = None


class InboxPage(Kept, frozen=True):
    """A page of GET /v1/inbox, the newest first; `next_cursor` leads to older ones and is null on the last page.

    What is put there meanwhile is newer than any cursor: it shifts nothing, and is found on the next first page.
    """

    data: list[InboxItem]
    next_cursor: str | None
    has_more: bool
