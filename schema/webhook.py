"""Endpoints of webhooks as an operator makes and sees them. Many a URL holds a token: no repr shows one."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from schema.base import Incoming, Kept
from schema.discreet import shown_without
from schema.offer import OfferKey

Url = Annotated[str, Meta(min_length=1, max_length=2048)]


class NewWebhook(Incoming, frozen=True):
    """The body of POST /v1/webhooks: what you call it, and an https URL of the public internet."""

    webhook_id: OfferKey
    url: Url

    def __repr__(self) -> str:
        return shown_without(self, "url")


class WebhookPatch(Incoming, frozen=True):
    """The body of PATCH /v1/webhooks/{id}; what is not named stays. Any change ends a rest."""

    url: Url | None = None
    is_paused: bool | None = None

    def __repr__(self) -> str:
        return shown_without(self, "url")


class Webhook(Kept, frozen=True, omit_defaults=True):
    """An endpoint; `secret` (whsec_…) is shown once, when it is made or changed.

    `failures` counts batches in a row of which it took nothing; after three it is left alone until `rests_until`, ever longer.
    """

    webhook_id: str
    url: str
    created_at: datetime
    created_by: str
    is_paused: bool
    failures: int
    rests_until: datetime | None = None
    secret: str | None = None

    def __repr__(self) -> str:
        return shown_without(self, "secret", "url")


class WebhookPage(Kept, frozen=True):
    """A page of GET /v1/webhooks by webhook_id; `next_cursor` leads to the next one and is null on the last."""

    data: list[Webhook]
    next_cursor: str | None
    has_more: bool
