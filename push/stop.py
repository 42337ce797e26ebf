"""The switch that stops all sending, on every node at once: who claims holds it open, who stops waits for them.

Planning and drawing ask the switch (`sending_stop`) as well, without holding it: what they finish after it was thrown is not claimed.
"""

from datetime import datetime
from typing import Any, Final

from schema.sending import Sending, SendingSwitch

_KEY: Final = 0x73746F70
"""Of the advisory lock: any number of claims share it, a stop has it alone."""

_HOLD: Final = "select pg_advisory_xact_lock_shared($1::bigint)"
_TAKE: Final = "select pg_advisory_xact_lock($1::bigint)"
_NEWEST: Final = """
    select version, is_stopped, spares_transactional, reason, set_at, set_by from sending_switches order by version desc limit 1
"""
_SET: Final = """
    insert into sending_switches (version, is_stopped, spares_transactional, reason, set_at, set_by)
    select coalesce(max(version), 0) + 1, $1, $2, $3, $4, $5 from sending_switches
"""
_BEING_SENT: Final = """
    select (select count(*) from outbox where state = 2) + (select count(*) from deliveries where state = 2)
"""


async def hold(connection: Any) -> None:
    """Nobody is told that sending is stopped before the caller's transaction has ended; what follows in it sees the switch as it is.

    The first statement of whatever claims: a lock that is waited for later could be waited for in a circle.
    """
    await connection.execute(_HOLD, _KEY)


async def switch(connection: Any, given: SendingSwitch, now: datetime, by: str) -> None:
    """Stops sending, or lets it go on. Waits for claims under way, milliseconds; when the caller has committed, none follows."""
    await connection.execute(_TAKE, _KEY)
    await connection.execute(_SET, given.is_stopped, given.spares_transactional, given.reason, now, by)


async def read(connection: Any) -> Sending:
    """The switch as it stands."""
    row = await connection.fetchrow(_NEWEST)
    being_sent = await connection.fetchval(_BEING_SENT)
    if row is None:
        return Sending(
            version=0,
            is_stopped=False,
            spares_transactional=False,
            reason="",
            set_at=None,
            set_by=None,
            being_sent=being_sent,
        )
    return Sending(
        version=row["version"],
        is_stopped=row["is_stopped"],
        spares_transactional=row["spares_transactional"],
        reason=row["reason"],
        set_at=row["set_at"],
        set_by=row["set_by"],
        being_sent=being_sent,
    )


async def is_stopped(connection: Any) -> bool:
    """Whether sending is stopped, but perhaps for what is transactional."""
    return await connection.fetchval("select 1 from sending_stop") is not None
