"""The keys that make events idempotent, forgotten after a while."""

from datetime import datetime, timedelta
from typing import Any, Final

from service.store import pieces

KEPT_FOR: Final = timedelta(days=7)

_PURGE: Final = """
    delete from event_keys where ctid = any (array(
        select ctid from event_keys where received_at < $1 order by received_at limit $2))
"""


async def purge(connection: Any, now: datetime) -> None:
    """Deletes the keys of events that were received more than seven days ago. The caller must not be in a transaction."""
    await pieces.delete(connection, _PURGE, now - KEPT_FOR, pieces.ROWS)
