"""Advisory locks that a session holds until it lets go of them, or ends."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from service.store.pool import LOST

_TRY: Final = "select pg_try_advisory_lock($1::bigint)"
_UNLOCK: Final = "select pg_advisory_unlock($1::bigint)"


async def try_lock(connection: Any, lock: int) -> bool:
    """Whether this session holds the lock now."""
    is_held: bool = await connection.fetchval(_TRY, lock)
    return is_held


async def unlock(connection: Any, lock: int) -> bool:
    """Lets go of it once; whether it was held."""
    was_held: bool = await connection.fetchval(_UNLOCK, lock)
    return was_held


@contextlib.asynccontextmanager
async def alone(connection: Any, lock: int) -> AsyncIterator[bool]:
    """Whether the lock is held by this session, and so by nobody else, until the end of the context.

    Where it is not certain that it is free again the session is ended: in a pool it would hold it for ever.
    """
    is_settled = False
    try:
        is_alone = await try_lock(connection, lock)
        try:
            yield is_alone
        finally:
            with contextlib.suppress(*LOST):
                is_settled = not is_alone or await unlock(connection, lock)
    finally:
        if not is_settled:
            connection.terminate()
