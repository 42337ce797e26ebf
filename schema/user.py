"""What an app tells us about a person and a device, and a shop's server about its people."""

from datetime import date, datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from schema.base import Incoming
from schema.discreet import shown_without
from schema.event import Tag
from schema.external_id import ExternalId

PERSON_TAGS_MAX: Final = 64

Zone = Annotated[str, Meta(min_length=1, max_length=64)]
Locale = Annotated[str, Meta(min_length=2, max_length=35)]
PersonTags = Annotated[list[Tag], Meta(max_length=PERSON_TAGS_MAX)]


class Identify(Incoming, frozen=True, kw_only=True):
    """The body of POST /v1/identify: who this is. anonymous_id and user_id together link the anonymous history to the known person.

    The trait `store_id` is the store they go to: what does not hold there is not pushed to them.

    Tags are what the shop calls a person ("staff", "newsletter"): only a secret key may tell them, and only the audience rules of
    campaigns read them. `tags` replaces all there are; `add_tags` and `remove_tags` change single ones, the latter last. A person has
    at most 64. Health, religion, politics and the like do not belong there.
    """

    user_id: ExternalId | None = None
    anonymous_id: ExternalId | None = None
    time_zone: Zone | None = None
    locale: Locale | None = None
    birth_date: date | None = None
    traits: dict[str, Any] = {}
    tags: PersonTags | None = None
    add_tags: PersonTags = []
    remove_tags: PersonTags = []


class Device(Incoming, frozen=True, kw_only=True):
    """The body of PUT /v1/devices/{id}."""

    user_id: ExternalId
    token: Annotated[str, Meta(min_length=1, max_length=4096)]
    address_kind: Literal["token", "fid"] = "token"
    platform: Literal["android", "ios", "web"]
    app_version: Annotated[str, Meta(max_length=64)] | None = None
    time_zone: Zone | None = None
    locale: Locale | None = None
    is_push_enabled: bool = True

    def __repr__(self) -> str:
        return shown_without(self, "token")


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a write of the ledger lane."""

    applied: bool
    feedback_applied_through: datetime | None = None
