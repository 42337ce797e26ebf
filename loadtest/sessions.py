"""Processor time of PostgreSQL's sessions, by who opened them: its vacuum and checkpoints come when they come, and are nobody's."""

from collections.abc import Mapping
from typing import Any, Final

from loadtest import processes

SERVER: Final = "welltimed"
"""How the server's own sessions call themselves."""
REFERENCE: Final = "loadtest"
"""As those of the reference applications."""

_SESSIONS: Final = "select pid from pg_stat_activity where backend_type = 'client backend' and application_name = $1"


async def cpu_s(connection: Any, name: str) -> dict[int, float]:
    """Seconds that each session of that name has used."""
    found = {}
    for row in await connection.fetch(_SESSIONS, name):
        try:
            found[row[0]] = processes.cpu_s(row[0])
        except OSError:  # it ended meanwhile
            continue
    return found


def spent_s(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    """What those that are there at the end have used since the beginning."""
    return sum(late - before.get(pid, 0.0) for pid, late in after.items())
