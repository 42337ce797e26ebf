"""The connections of one worker: how many there may be, and how they end when the worker stops."""

import asyncio
import resource
from collections import Counter, deque
from collections.abc import Callable
from time import monotonic
from typing import Final, Protocol

from service import telemetry
from service.turns import Turns

KEPT_DESCRIPTORS: Final = 256
"""File descriptors that no client gets: PostgreSQL's connections, files, sockets to others."""
ARRIVING_BYTES_MAX: Final = 64 * 2**20
"""Of all bodies that are on their way: they are held before anybody has looked who sends them."""
ARRIVING_PART_OF_ADDRESS: Final = 2
"""One address may hold one part in so many of that: what one host leaves unfinished turns nobody else away."""

SWEEPS: Final = 10
"""In which all connections are looked at once."""
LOOK_EVERY_S: Final = 1.0
"""So often is each looked at: ten sweeps a second."""


class Open(Protocol):
    """An open connection."""

    def look(self, now: float) -> None: ...

    def close_after_answer(self) -> None: ...

    def close_unfinished(self) -> None: ...


class Connections:
    """The connections of one worker: how many each address has, and what `sweep` closes."""

    def __init__(
        self,
        most: int,
        most_per_address: int,
        is_exempt: Callable[[str], bool] = lambda _: False,
        arriving_bytes_max: int = ARRIVING_BYTES_MAX,
    ) -> None:
        """At most `most` in all and `most_per_address` of one peer; those for whom `is_exempt`, proxies, only the former. So with bodies."""
        self.most = min(most, _descriptors() - KEPT_DESCRIPTORS)
        self.is_stopping = False
        self.turns = Turns()
        self.empty = asyncio.Event()
        """Whether none is open."""
        self.empty.set()
        self._most_per_address = most_per_address
        self._is_exempt = is_exempt
        self._arriving_bytes = 0
        self._arriving_bytes_max = arriving_bytes_max
        self._arriving_by_address: dict[str, int] = {}
        self._open: dict[Open, None] = {}
        """In order of opening: nobody comes later in a round of looks than in the one before."""
        self._looked_at: deque[Open] = deque()
        self._round = 0
        """How many were open when this round of looks began."""
        self._looks = 0
        self._by_address: Counter[str] = Counter()

    def take(self, connection: Open, address: str) -> bool:
        """Counts a new one; False when there is no room for it."""
        reason = ""
        if len(self._open) >= self.most:
            reason = "connections"
        elif self._by_address[address] >= self._most_per_address and not self._is_exempt(address):
            reason = "connections_of_address"
        if reason:
            telemetry.REFUSED.labels(reason).inc()
            return False
        self._open[connection] = None
        self.empty.clear()
        self._by_address[address] += 1
        return True

    def drop(self, connection: Open, address: str) -> None:
        """It is closed."""
        if connection not in self._open:
            return
        del self._open[connection]
        if not self._open:
            self.empty.set()
        self._by_address[address] -= 1
        if self._by_address[address] <= 0:
            del self._by_address[address]

    def hold(self, count: int, address: str) -> bool:
        """Counts bytes of a body that is on its way; False when there is no room for them, in all or of this address."""
        theirs = self._arriving_by_address.get(address, 0) + count
        is_too_much = theirs * ARRIVING_PART_OF_ADDRESS > self._arriving_bytes_max and not self._is_exempt(address)
        if is_too_much or self._arriving_bytes + count > self._arriving_bytes_max:
            telemetry.REFUSED.labels("arriving_bodies").inc()
            return False
        self._arriving_bytes += count
        self._arriving_by_address[address] = theirs
        return True

    def release(self, count: int, address: str) -> None:
        """These bytes are on their way no longer."""
        if not count:
            return
        self._arriving_bytes -= count
        self._arriving_by_address[address] -= count
        if not self._arriving_by_address[address]:
            del self._arriving_by_address[address]

    def sweep(self) -> None:
        """Looks at the next tenth of all, and closes what has taken too long: all of thousands at once would hold up everybody else.

        To be called ten times a second. A look at each second costs less than a timer for each request. A tenth is one of those that were
        open when this round began, or the one before, if that were more: were it of those that are left, then many that are closed together
        would make the round longer and longer, and the last of them would be late by seconds.
        """
        if not self._looked_at:
            before, self._round = self._round, len(self._open)
            self._looks = -(-max(before, self._round) // SWEEPS)
            self._looked_at.extend(self._open)
        now = monotonic()
        for _ in range(min(len(self._looked_at), self._looks)):
            connection = self._looked_at.popleft()
            if connection in self._open:
                connection.look(now)

    def begin_stop(self) -> None:
        """From now on every answer is the last of its connection."""
        self.is_stopping = True
        for connection in self._open:
            connection.close_after_answer()

    def close_unfinished(self) -> None:
        """Those whose request has not arrived whole are not waited for: nothing was acknowledged to them."""
        for connection in list(self._open):
            connection.close_unfinished()


def _descriptors() -> int:
    """How many file descriptors we may have, after asking for all we can get."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1_000_000
