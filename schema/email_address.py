"""A person's e-mail address, as it is told and as it is shown."""

from typing import Annotated

import msgspec
from msgspec import Meta

from schema.base import Incoming


class EmailAddress(Incoming, frozen=True):
    """The body of PUT /v1/users/{id}/email. The address alone allows nothing: e-mail needs consent besides."""

    address: Annotated[str, Meta(min_length=3, max_length=254)]


class ShownEmailAddress(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown of it: a***@example.com; null when none is known."""

    masked: str | None
