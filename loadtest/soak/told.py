"""What the clients were told, as sums: the database has to come to the same."""

from collections import Counter, deque
from dataclasses import dataclass, field

from loadtest.faults.ledger import Ledger


@dataclass
class Told(Ledger):
    """Acknowledged since the last `begin`: `counts` of events and answers by type, the others by name. Nothing is kept for each event."""

    counts: Counter[str] = field(default_factory=Counter)
    answers: int = 0
    """Of `counts` those told as answers to decisions, not as events."""
    sales_made: int = 0
    sales_refused: int = 0
    decided: int = 0
    edits: int = 0
    repeated: int = 0
    seen: deque[tuple[str, str, int]] = field(default_factory=lambda: deque(maxlen=5_000))
    """Decisions of which an app has still to report the showing: (user_id, decision_id, slots)."""

    @property
    def acknowledged(self) -> int:
        """Events acknowledged by POST /v1/events."""
        return sum(self.counts.values()) - self.answers

    def begin(self) -> None:
        """Counts anew."""
        self.counts.clear()
        self.answers = self.sales_made = self.sales_refused = self.decided = self.edits = self.repeated = 0
