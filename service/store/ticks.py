"""When each tick last ran, and under which leadership: a leader that has lost its lock unnoticed can run nothing."""

from datetime import datetime, timedelta
from typing import Any, Final

EARLY: Final = 0.1
"""Share of the interval by which a tick may come early: timers are not exact."""

# A tick of the future is the trace of a clock that went wrong; it must not silence the tick until then.
_CLAIM: Final = """
    insert into ticks (name, last_run_at, epoch) values ($1, $2, $4)
    on conflict (name) do update set last_run_at = excluded.last_run_at, epoch = excluded.epoch
     where ticks.epoch <= excluded.epoch and (ticks.last_run_at <= $3 or ticks.last_run_at > $2)
    returning 1
"""


async def claim(connection: Any, name: str, now: datetime, every_s: float, epoch: int) -> bool:
    """Whether the tick is due and `epoch` is not behind that of its last run; it then counts as run."""
    due = now - timedelta(seconds=every_s * (1.0 - EARLY))
    return await connection.fetchval(_CLAIM, name, now, due, epoch) is not None
