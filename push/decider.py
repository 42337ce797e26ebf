"""What push asks of the rest of the program: when to reach a person, what to say, and where to tell that it was said."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

import numpy as np
import numpy.typing as npt

from push.channel import Card
from push.contact.contact_rules import Contact
from schema.campaign import StoredCampaign


class Due(NamedTuple):
    """A planned push whose moment has come; `just_drawn` are other pushes of the person that are on their way out."""

    user_id: int
    occurrence_at: datetime
    outbox_id: UUID
    entropy: bytes
    just_drawn: tuple[Contact, ...] = ()


Batch = Sequence[tuple[StoredCampaign, Sequence[Due]]]


class DueMany(NamedTuple):
    """Pushes that are due for many people, a column at a time, each person once; `campaign` (n,) points into `campaigns`.

    outbox_ids and entropies are (n, 16); `just_drawn` as of Due, by number, of those who have any.
    """

    campaigns: Sequence[StoredCampaign]
    campaign: npt.NDArray[np.int64]
    user_ids: npt.NDArray[np.int64]
    outbox_ids: npt.NDArray[np.uint8]
    entropies: npt.NDArray[np.uint8]
    just_drawn: Mapping[int, tuple[Contact, ...]]


class DrawnMany(NamedTuple):
    """What was drawn for some of them, by their numbers: decisions as text; where nothing is sent no offer and no message, but a reason.

    `tags` are those of the offer.
    """

    numbers: Sequence[int]
    decision_ids: Sequence[str]
    offer_ids: Sequence[int | None]
    messages: Sequence[bytes | None]
    reasons: Sequence[str | None]
    tags: Sequence[Sequence[str]]


NOBODY: Final = DrawnMany((), (), (), (), (), ())


class Draft(NamedTuple):
    """What a push says; `offer_id` is ours, `data` what the app gets, `label` names campaign and variant to the channel's statistics,
    `tags` are those of the offer.

    One that `is_private` says nothing of the offer.
    """

    offer_id: int
    title: str
    body: str
    image_url: str | None
    data: dict[str, str]
    label: str | None = None
    buttons: tuple[str, ...] = ()
    is_private: bool = False
    tags: Sequence[str] = ()


class Slot(NamedTuple):
    """One offer of a digest; `offer_id` is ours."""

    offer_id: int
    card: Card
    reservation_id: UUID | None


class Drawn(NamedTuple):
    """The offer drawn for a due push; no draft means that nothing is sent, for `reason`. A campaign with e-mail has a slate, of which
    the draft is the first.
    """

    decision_id: UUID
    draft: Draft | None
    reason: str
    slate: tuple[Slot, ...] = ()


class Sent(NamedTuple):
    """A push that the channel has accepted."""

    user_id: int
    decision_id: UUID
    offer_id: int
    accepted_at: datetime
    slot: int = 0


class Rhythms(NamedTuple):
    """Packed rhythms, (people,) records of the width asked for; zeros where the `sizes` of what is kept, (people,) bytes, is another."""

    packed: npt.NDArray[np.void]
    sizes: npt.NDArray[np.int64]


class Moments(Protocol):
    """Draws the hour of the week for many people at once, always the same from the same arguments; can be sent to another process."""

    @property
    def rhythm_bytes(self) -> int:
        """The width of a packed rhythm."""
        ...

    def draw(
        self,
        rhythms: Rhythms,
        is_allowed: npt.NDArray[np.bool_],
        clock: npt.NDArray[np.int64],
        uniforms: npt.NDArray[np.float64],
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """The local hour of the week of each person and its propensity, (people,); -1 and 0 where no hour is allowed.

        Args:
            rhythms: of the people.
            is_allowed: (clocks, 168).
            clock: (people,) which row of `is_allowed` holds for each.
            uniforms: (people,) in (0, 1).
        """
        ...


class MomentSource(Protocol):
    """Where moments come from."""

    def current(self) -> Moments:
        """Those to plan by from now on."""
        ...


class Obstacles(Protocol):
    """Knows whether a campaign has anything to say."""

    async def of(self, connection: Any, campaign: StoredCampaign, now: datetime) -> str | None:
        """Why planning it would be in vain, as a code; None when it would not."""
        ...


class Decider(Protocol):
    """Draws offer and gate for pushes that are due, under the masks of this instant, and logs the decisions."""

    async def decide(self, connection: Any, batch: Batch, now: datetime) -> list[Drawn]:
        """One answer for each, in order; logged, and promised to people as far as offers have an end, in the caller's transaction.

        All of a transaction at once: what is promised is written last, so that nobody waits long for the counts of an offer.
        """
        ...

    async def decide_many(self, connection: Any, asked: DueMany, now: datetime) -> DrawnMany:
        """The same for those who need nothing made for them alone, of campaigns that push and do nothing else; the others are left to `decide`."""
        ...


class Journal(Protocol):
    """Where exposures are told, so that they are learned from."""

    async def accepted(self, connection: Any, sent: Sequence[Sent], now: datetime) -> None:
        """Written in the caller's transaction."""
        ...
