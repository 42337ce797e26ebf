"""What leaves: is it stopped, and does anything wait longer than it should?"""

from datetime import datetime
from typing import Any, Final

from push import stop
from service.doctor.finding import Finding, Group
from service.planning import vitals
from service.store import migrate

LATE_WARN_S: Final = 300.0

_GROUP: Final = Group("sending")


async def look(connection: Any, now: datetime) -> list[Finding]:
    """All findings about sending; none before the schema is up to date."""
    if not await connection.fetchval(migrate.HAS_TABLE):
        return []
    switch = await stop.read(connection)
    if switch.is_stopped:
        says = f"stopped since {switch.set_at:%Y-%m-%d %H:%M} UTC by {switch.set_by}: {switch.reason}"
        return [_GROUP.warn("switch", says, "`welltimed sending resume --reason …` lets it go on")]
    late_s = await vitals.late_s(connection, now)
    says, advice = (
        f"the oldest that is due waits since {late_s:.0f} s",
        "see welltimed_pushes_total and welltimed_push_alarms_total",
    )
    late = _GROUP.graded("backlog", says if late_s else "nothing waits", advice, warn=late_s > LATE_WARN_S, fail=False)
    return [_GROUP.ok("switch", "sending goes on"), late]
