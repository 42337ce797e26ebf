"""The keys that make events idempotent, forgotten after a while."""

from datetime import datetime, timedelta
from typing import Any, Final

KEPT_FOR: Final = timedelta(days=7)

_PURGE: Final = "delete from event_keys where received_at < $1"


async def purge(connection: Any, now: datetime) -> None:
    """Deletes the keys of events that were received more than seven days ago."""
    await connection.execute(_PURGE, now - KEPT_FOR)
