"""Turns of the event loop: what is refused under a flood, and all else that a worker does.

A loop reads every socket that can be read before it goes on with anything else. Under a flood that is reading and refusing alone, and what
was let in is not got on with.
"""

import asyncio
from collections import deque
from time import perf_counter
from typing import Final, Protocol

REFUSING_S: Final = 0.005
"""How long a turn reads on after it has refused somebody: two hundred refusals."""
REFUSING_MAX_S: Final = 0.012
ASIDE_S: Final = 0.000_02
"""A turn is longer by as much for each that waits from the turns before, up to REFUSING_MAX_S: else they would become more and more."""
LATE_MAX: Final = 400
"""Of what was put aside, in one turn."""


class Waiting(Protocol):
    """A connection at which something has come that nobody has looked at."""

    def serve_late(self) -> None: ...


class Turns:
    """Says whether what has come is served in this turn, and has it served in a later one if not; in the order in which it came.

    As long as nobody is refused all is served at once: those who ask together are decided for together.
    """

    def __init__(self) -> None:
        self._ends_s: float | None = None
        """None as long as nobody was refused in this turn."""
        self._aside: deque[Waiting] = deque()

    def take(self, connection: Waiting) -> bool:
        """Whether what has come at a connection is served now; else it must keep it until `serve_late`."""
        if not self._aside and not self._is_over():
            return True
        self._aside.append(connection)
        return False

    def count_refusal(self, loop: asyncio.AbstractEventLoop) -> None:
        """Somebody was refused."""
        if self._ends_s is None:
            self._ends_s = perf_counter() + min(REFUSING_S + ASIDE_S * len(self._aside), REFUSING_MAX_S)
            loop.call_soon(self._next, loop)

    def _is_over(self) -> bool:
        return self._ends_s is not None and perf_counter() >= self._ends_s

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        """A turn begins, with what was put aside in those before."""
        self._ends_s = None
        try:
            for _ in range(min(len(self._aside), LATE_MAX)):
                self._aside.popleft().serve_late()
                if self._is_over():
                    break
        finally:
            if self._aside and self._ends_s is None:
                loop.call_soon(self._next, loop)
