"""What clients were told, kept by the clients: the database has to agree with it, whatever was done to the server."""

from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import NamedTuple


class Told(NamedTuple):
    """A decision as the app was told of it; a degraded one is in the database only when it has been imported."""

    user_id: str
    offers: tuple[str, ...]
    is_degraded: bool


class Sale(NamedTuple):
    """An acknowledged redemption by its Idempotency-Key."""

    redemption_id: str
    offer_id: str


@dataclass
class Ledger:
    """Everything that was acknowledged. `events` are people by event_id, `feedback` people by (decision, slot, type)."""

    events: dict[str, str] = field(default_factory=dict)
    decisions: dict[str, Told] = field(default_factory=dict)
    feedback: dict[tuple[str, int, str], str] = field(default_factory=dict)
    vetoes: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    sales: dict[str, Sale] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    """Codes by the Idempotency-Key of redemptions that were refused."""
    promised: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=500))
    """Reservations (user_id, reservation_id) that apps hold and tills have not seen."""
    replayed: int = 0
    retries: int = 0
    strange: list[str] = field(default_factory=list)
    """What must not happen, in words: an answer nobody can make sense of, a veto that was not heeded, one key told two things."""
