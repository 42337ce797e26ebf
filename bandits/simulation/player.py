"""What a policy must be able to do to live in a world."""

from math import nan
from typing import NamedTuple, Protocol

from bandits.simulation.people import Flags
from bandits.simulation.week import F64, I64
from schema.event import EventType


class Choice(NamedTuple):
    """A decision: the offer drawn, the pmf (K,) it was drawn from, the probability of sending it, and whether it is sent.

    `predicted` is the probability of a redemption that the policy expects of the drawn offer, nan where it does not say.
    """

    drawn: int
    pmf: F64
    send_probability: float
    is_sent: bool
    predicted: float = nan


class Told(NamedTuple):
    """What became known of an earlier decision: the head (`open`, `redeem`; or `bought`, which no head of the product is) when it happened, and when the engine was told."""

    decision: int
    head: str
    happened_s: float
    told_s: float


class Player(Protocol):
    """A policy as a world sees it. Instants are seconds since 1970 and come in order."""

    def bought(self, person: int, things: I64, at_s: float, /) -> None:
        """A basket with these things."""

    def looked(self, person: int, thing: int, at_s: float, /) -> None:
        """A look at the offer of a thing in the app."""

    def said(self, decision: int, word: EventType, at_s: float, /) -> None:
        """What the person said of the offer of that decision, which was sent: a thumb, a dismissal, "not now"."""

    def moments(self, begins_s: float, /) -> I64:
        """The hour of the coming week, (N,), at which each person is to be decided for."""

    def decide(self, decision: int, person: int, at_s: float, mask: Flags, /) -> Choice:
        """Chooses among the offers of the mask, (K,), of which at least one is eligible. `decision` numbers all decisions."""

    def sent(self, decision: int, /) -> None:
        """The offer of that decision was sent (the person is not in the holdout)."""

    def told(self, news: Told, /) -> None:
        """An answer has become known."""

    def new_day(self, at_s: float, /) -> None:
        """Midnight: what was learned may be put to use."""
