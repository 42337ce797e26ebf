"""What push asks of the rest of the program: when to reach a person, what to say, and where to tell that it was said."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from schema.campaign import StoredCampaign


class Due(NamedTuple):
    """A planned push whose moment has come."""

    user_id: int
    occurrence_at: datetime
    outbox_id: UUID
    entropy: bytes


Batch = Sequence[tuple[StoredCampaign, Sequence[Due]]]


class Draft(NamedTuple):
    """What a push says; `offer_id` is ours, `data` what the app gets."""

    offer_id: int
    title: str
    body: str
    image_url: str | None
    data: dict[str, str]


class Drawn(NamedTuple):
    """The offer drawn for a due push; no draft means that nothing is sent, for `reason`."""

    decision_id: UUID
    draft: Draft | None
    reason: str


class Sent(NamedTuple):
    """A push that the channel has accepted."""

    user_id: int
    decision_id: UUID
    offer_id: int
    accepted_at: datetime


class Moments(Protocol):
    """Draws the hour of the week for many people at once."""

    def draw(
        self, rhythms: Sequence[bytes], allowed: Sequence[Sequence[bool]], uniforms: Sequence[float]
    ) -> list[tuple[int, float]]:
        """For each person the local hour of the week and its propensity; `allowed` has 168 entries a person, one true at least."""
        ...


class Decider(Protocol):
    """Draws offer and gate for pushes that are due, under the masks of this instant, and logs the decisions."""

    async def decide(self, connection: Any, batch: Batch, now: datetime) -> list[Drawn]:
        """One answer for each, in order; logged, and promised to people as far as offers have an end, in the caller's transaction.

        All of a transaction at once: what is promised is written last, so that nobody waits long for the counts of an offer.
        """
        ...


class Journal(Protocol):
    """Where exposures are told, so that they are learned from."""

    async def accepted(self, connection: Any, sent: Sequence[Sent], now: datetime) -> None:
        """Written in the caller's transaction."""
        ...
