"""What people say of an offer, and how much of it: signs of interest for their tastes, words for their own part of the model."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from schema.event import EventType

INTEREST_OF: Final[Mapping[int, float]] = {
    EventType.VIEW: 0.2,
    EventType.THUMBS_UP: 1.0,
    EventType.THUMBS_DOWN: -2.0,
    EventType.DISMISSED: -0.5,
    EventType.NOT_NOW: -0.5,
}
"""What each adds to a person's interest in the tags of the offer (bandits.tastes)."""


class Word(NamedTuple):
    """What a word about an offer tells of a person: yes (1) or no (0), as if it had been said `weight` times."""

    answer: float
    weight: float


# Twice yes pulls as a redemption does: each leaves half of it to be learned where nothing is known. A thumbs-down is for ever, and counts
# double; most of what is dismissed was only in the way, and "not now" is about now.
SAID: Final[Mapping[int, Word]] = {
    EventType.THUMBS_UP: Word(1.0, 2.0),
    EventType.THUMBS_DOWN: Word(0.0, 4.0),
    EventType.DISMISSED: Word(0.0, 1.0),
    EventType.NOT_NOW: Word(0.0, 0.5),
}
"""What acts on a person's own part beside showings and redemptions, when it was said of a slot that was decided (bandits.personal)."""
