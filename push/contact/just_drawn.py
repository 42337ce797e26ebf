"""Pushes that this process has drawn and nobody has claimed yet: the next draw for the same person counts them as sent.

Without it two campaigns that are due for a person at once would both be drawn, and the second stopped by its claim: a draw for nothing. The
claim stays what holds the rules; this only spares draws, so it may forget.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import numpy as np
import numpy.typing as npt

from push.contact.contact_rules import Contact

PEOPLE_MAX: Final = 20_000
COUNTS_FOR: Final = timedelta(minutes=1)
"""What was drawn and did not leave in that time, as behind an outage, no longer holds others back."""

_COUNTS_FOR_MS: Final = COUNTS_FOR // timedelta(milliseconds=1)


class JustDrawn:
    """Of so many people, the last ones."""

    def __init__(self) -> None:
        self._drawn: OrderedDict[int, list[Contact]] = OrderedDict()

    def add(self, user_id: int, contact: Contact) -> None:
        """Remembers one more, and forgets what no longer counts."""
        drawn, since_ms = self._drawn, contact.at_ms - _COUNTS_FOR_MS
        before = drawn.pop(user_id, ())
        drawn[user_id] = [*(one for one in before[-7:] if one.at_ms > since_ms), contact]  # as the newest
        while len(drawn) > PEOPLE_MAX or next(iter(drawn.values()))[-1].at_ms <= since_ms:
            drawn.popitem(last=False)

    def of(self, user_id: int, outbox_id: UUID, now: datetime) -> tuple[Contact, ...]:
        """What was drawn for a person in the last minute, but for the push that is asked for: its draw may have been undone."""
        found = self._drawn.get(user_id)
        if found is None:
            return ()
        return self._counting(found, str(outbox_id), now)

    def of_many(
        self, user_ids: Sequence[int], outbox_ids: npt.NDArray[np.uint8], now: datetime
    ) -> dict[int, tuple[Contact, ...]]:
        """The same of many people, by their place; who has none is left out. outbox_ids (n, 16)."""
        found = {}
        for n, user_id in enumerate(user_ids):
            if user_id in self._drawn:
                own = str(UUID(bytes=outbox_ids[n].tobytes()))
                if drawn := self._counting(self._drawn[user_id], own, now):
                    found[n] = drawn
        return found

    @staticmethod
    def _counting(found: Iterable[Contact], own: str, now: datetime) -> tuple[Contact, ...]:
        since_ms = (now - COUNTS_FOR).timestamp() * 1000
        return tuple(contact for contact in found if contact.at_ms > since_ms and contact.outbox_id != own)


def with_drawn(sent: list[Contact], drawn: Iterable[Contact]) -> list[Contact]:
    """What a person was sent, and was drawn besides: what has been claimed meanwhile is both, and counts once."""
    claimed = {contact.outbox_id for contact in sent}
    return [*sent, *(contact for contact in drawn if contact.outbox_id not in claimed)]
