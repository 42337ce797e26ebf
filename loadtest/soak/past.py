"""Days long ago, so that there is something that becomes too old during the run: the same installation, served for a moment on each of them.

Events are kept for 400 days and decisions for 180 (docs/architecture.md); no setting shortens that. So their days are made as the product makes
them, by its own clock.
"""

from datetime import timedelta
from typing import Any, Final

from loadtest.soak.plan import BEGINS_AT, Plan

EVENTS_KEPT_FOR: Final = timedelta(days=400)
DECISIONS_KEPT_FOR: Final = timedelta(days=180)
LONG_AGO: Final = (EVENTS_KEPT_FOR, DECISIONS_KEPT_FOR)
"""Served on these days before the run, each until EVENTS are told."""
EVENTS: Final = 1_500
MINUTES_MAX: Final = 1.0

_DAYS: Final = """
    select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = any ('{events,decisions,exposures}'::regclass[]) order by 1
"""


def on_a_day(plan: Plan) -> Plan:
    """What is done on a day long ago."""
    return plan._replace(events=EVENTS, days=0.02, minutes=0.05, minutes_max=MINUTES_MAX, phones=0, lead_s=0.0)


async def days(connection: Any) -> list[str]:
    """Partitions by day of events, decisions and exposures, as events_20300107; default partitions left out."""
    return [row[0] for row in await connection.fetch(_DAYS) if row[0][-8:].isdigit()]


def must_be_gone(made: list[str], now: Any) -> set[str]:
    """Of the partitions there once were, those that are too old by now."""
    oldest = {"events": now - EVENTS_KEPT_FOR, "decisions": now - DECISIONS_KEPT_FOR}
    return {
        name
        for name in made
        for table, instant in oldest.items()
        if name.startswith(table + "_") and name < f"{table}_{instant:%Y%m%d}"
    }


def must_be_there(now: Any) -> set[str]:
    """Those of each day since the run began, and of tomorrow."""
    count = (now - BEGINS_AT) // timedelta(days=1) + 2
    wanted = (BEGINS_AT + timedelta(days=n) for n in range(count))
    return {f"{table}_{day:%Y%m%d}" for day in wanted for table in ("events", "decisions", "exposures")}
