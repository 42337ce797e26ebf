"""The switch that stops all sending."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from schema.base import Incoming, Kept


class SendingSwitch(Incoming, frozen=True):
    """The body of PUT /v1/sending: stops all sending, or lets it go on.

    With `spares_transactional` campaigns of that kind go on while marketing is stopped. `reason` is for whoever asks why.
    """

    is_stopped: bool
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    spares_transactional: bool = False


class Sending(Kept, frozen=True):
    """Whether sending is stopped, why, and by whom since when; version 0 is a switch that nobody has touched.

    `being_sent` are pushes that were claimed before: on their way, they cannot be called back, and are over when the channel has answered, after
    its deadline at the latest.
    """

    version: int
    is_stopped: bool
    spares_transactional: bool
    reason: str
    set_at: datetime | None
    set_by: str | None
    being_sent: int
