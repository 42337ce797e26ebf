"""Turns of the event loop: what is refused under a flood, and all else that a worker does.

A loop reads every socket that can be read before it goes on with anything else. Under a flood that is reading and refusing alone, and what
was let in is not got on with.
"""

import asyncio
from collections import deque
from typing import Final, Protocol

REFUSALS_MAX: Final = 64
"""Of one turn: three milliseconds."""
LATE_MAX: Final = 128
"""Of what was put aside, in one turn: as many as a batch may hold."""


class Waiting(Protocol):
    """A connection at which something has come that nobody has looked at."""

    def serve_late(self, data: bytes) -> None: ...


class Turns:
    """Says whether what has come is served in this turn, and has it served in a later one if not; in the order in which it came.

    As long as nobody is refused all is served at once: those who ask together are decided for together.
    """

    def __init__(self) -> None:
        self._refused = 0
        self._aside: deque[tuple[Waiting, bytes]] = deque()

    def take(self, connection: Waiting, data: bytes) -> bool:
        """Whether `data` is served now; else it is kept, and `connection` must read nothing more until it has been served."""
        if not self._aside and self._refused < REFUSALS_MAX:
            return True
        self._aside.append((connection, data))
        return False

    def count_refusal(self, loop: asyncio.AbstractEventLoop) -> None:
        """Somebody was refused."""
        self._refused += 1
        if self._refused == 1:
            loop.call_soon(self._next, loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        """A turn begins, with what was put aside in those before."""
        self._refused = 0
        try:
            for _ in range(min(len(self._aside), LATE_MAX)):
                connection, data = self._aside.popleft()
                connection.serve_late(data)
                if self._refused >= REFUSALS_MAX:
                    break
        finally:
            if self._aside and not self._refused:
                loop.call_soon(self._next, loop)
