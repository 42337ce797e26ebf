"""A person's e-mail address, as it is told and as it is shown."""

from typing import Annotated

import msgspec
from msgspec import Meta

from schema.base import Incoming
from schema.discreet import shown_without


class EmailAddress(Incoming, frozen=True):
    """The body of PUT /v1/users/{id}/email. The address alone allows nothing: e-mail needs consent besides."""

    address: Annotated[str, Meta(min_length=3, max_length=254)]

    def __repr__(self) -> str:
        return shown_without(self, "address")


class ShownEmailAddress(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown of it: a***@example.com; null when none is known."""

    masked: str | None
