"""Whether the audit log is whole: every hash reckoned again."""

from datetime import datetime
from typing import Any, Final

from service.doctor.finding import Finding, Group
from service.store import audit

_GROUP: Final = Group("audit")

_HAS_TABLE: Final = "select to_regclass('audit_log') is not null"


async def look(connection: Any, _now: datetime) -> list[Finding]:
    """A finding about the chain of the audit log, if there is one."""
    if not await connection.fetchval(_HAS_TABLE):
        return []  # what is not migrated has another group
    chain = await audit.verify(connection)
    if chain.broken_at is not None:
        says = f"entry {chain.broken_at} is missing or does not fit the one before"
        return [_GROUP.fail("chain", says, "somebody changed the database by hand: compare with a backup")]
    return [_GROUP.ok("chain", f"{chain.entries} entries, the last one's hash is {chain.head.hex()}")]
