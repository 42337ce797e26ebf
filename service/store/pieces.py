"""Deletes a lot in pieces that each end soon: what fails at once, because it is too much for one statement, would fail again and again."""

from datetime import datetime
from typing import Any, Final

ROWS: Final = 20_000
PIECES_MAX: Final = 200
"""Of one call; the next one goes on."""


async def delete(connection: Any, statement: str, before: datetime, rows: int) -> None:
    """Runs a statement of the arguments (before, rows), each time a transaction of its own, until it finds fewer than that.

    The caller must not be in a transaction.
    """
    for _ in range(PIECES_MAX):
        done = await connection.execute(statement, before, rows)
        if int(done.rpartition(" ")[2]) < rows:
            return
