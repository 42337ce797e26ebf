"""The audit log: what was done to keys, identity, offers, campaigns, policies, rules and switches, when and by whom.

Tables write it themselves (schema/migrations/0041_audit.sql), nothing can change it, and each entry's hash holds that of the one before.
"""

import hashlib
from typing import Any, Final, NamedTuple

import msgspec

from schema.audit import Act

READ_AT_ONCE: Final = 5_000

_FIRST: Final = bytes(32)
_BY: Final = "select set_config('welltimed.by', $1, $2)"
_PAGE: Final = "select entry, encode(hash, 'hex') as hash from audit_log where seq is not null and seq < $1 order by seq desc limit $2"
_NEXT: Final = "select seq, entry, hash from audit_log where seq > $1 order by seq limit $2"
_LOOSE: Final = "select count(*) from audit_log where seq is null"

_DECODE: Final = msgspec.json.Decoder(dict[str, Any])


class Chain(NamedTuple):
    """How the chain stands: entries that hold, the last one's hash, and the number of the first that does not, if any."""

    entries: int
    head: bytes
    broken_at: int | None


async def speak(connection: Any, by: str, *, for_good: bool = False) -> None:
    """Says who acts: until the transaction ends, or as long as the connection lives."""
    await connection.execute(_BY, by, not for_good)


async def page(connection: Any, before: int, limit: int) -> list[Act]:
    """Acts before one by number, the newest first."""
    rows = await connection.fetch(_PAGE, before, limit)
    return [msgspec.convert(_DECODE.decode(row["entry"]) | {"hash": row["hash"]}, Act, strict=False) for row in rows]


async def verify(connection: Any) -> Chain:
    """Reckons every hash again. What was cut off at the end is seen only by who remembers the head."""
    seq, head = 0, _FIRST
    while True:
        rows = await connection.fetch(_NEXT, seq, READ_AT_ONCE)
        for row in rows:
            entry = row["entry"].encode()
            expected = hashlib.sha256(head + entry).digest()
            if row["seq"] != seq + 1 or row["hash"] != expected or _DECODE.decode(entry).get("seq") != row["seq"]:
                return Chain(seq, head, seq + 1)
            seq, head = seq + 1, expected
        if len(rows) < READ_AT_ONCE:
            is_loose = await connection.fetchval(_LOOSE) > 0
            return Chain(seq, head, seq + 1 if is_loose else None)
