"""What was drawn for due rows, written into the outbox a column at a time."""

from collections.abc import Sequence
from datetime import datetime
from itertools import compress
from typing import Any, Final

import numpy as np

from push.due_rows import DueRows, instant
from push.outbox import State

_DAY: Final = 86_400_000_000

# A place is of one day's table: the bounds of the occurrences keep the others out of the plan.
_DRAWN: Final = """
    update outbox o set state = t.state, decision_id = t.decision_id, offer_id = t.offer_id, message = t.message, reservation_id = t.reservation_id,
           outcome = t.outcome, settled_at = case when t.state = 1 then null else $1::timestamptz end
      from unnest($4::tid[], $5::smallint[], $6::text[], $7::uuid[], $8::integer[], $9::bytea[], $10::uuid[])
           as t(place, state, outcome, decision_id, offer_id, message, reservation_id)
     where o.ctid = t.place and o.occurrence_at >= $2::timestamptz and o.occurrence_at < $3::timestamptz
"""


class DrawnRows:
    """Of the rows with these `numbers`: state, why nothing is sent, decision and offer, the message as `draft.message_of` writes it, and
    what is reserved with it.
    """

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self._columns: tuple[list[Any], ...] = ([], [], [], [], [], [])

    def add(
        self,
        number: int,
        state: State,
        outcome: str | None,
        decision_id: Any = None,
        offer_id: int | None = None,
        message: bytes | None = None,
        reservation_id: str | None = None,
    ) -> None:
        """One more."""
        self.add_many([number], [state], [outcome], [decision_id], [offer_id], [message], [reservation_id])

    def add_many(self, numbers: Sequence[int], *columns: Sequence[Any]) -> None:
        """Many more, in the order of `add`."""
        self.numbers += numbers
        for column, values in zip(self._columns, columns, strict=True):
            column.extend(values)

    async def write(self, connection: Any, rows: DueRows, now: datetime) -> None:
        """In the transaction that locked the rows and logged the decisions."""
        days = rows.occurrences[self.numbers] // _DAY if self.numbers else np.zeros(0, np.int64)
        places = [rows.places[n] for n in self.numbers]
        for day in np.unique(days):
            of_day = (days == day).tolist()
            columns = [list(compress(column, of_day)) for column in (places, *self._columns)]
            await connection.execute(_DRAWN, now, instant(day * _DAY), instant((day + 1) * _DAY), *columns)
