"""Who is let in when more comes than can be done: as many as will be answered soon, judged by how fast answers have left of late."""

import math
from time import monotonic
from typing import Final

from service import telemetry
from service.errors import ApiError

RETRY_AFTER_S: Final = 1

IN_FLIGHT_MIN: Final = 64
"""So many are always let in: a batch needs company to be cheap, and one client alone is no overload."""
BUSY: Final = 8
"""With fewer in flight the speed at which answers leave says how many were asked, not how many could be answered."""
LOOK_S: Final = 0.1
"""How much time with BUSY in flight or more one look at the speed takes in."""
MEMORY_S: Final = 0.5
"""The speed is a mean that forgets with this time constant."""
SPEED_AT_FIRST_PER_S: Final = 1_000.0


class Lane:
    """Requests of one kind. By Little's law the last of n in flight waits n ÷ speed: no more are let in than keep that in `wait_s`."""

    __slots__ = (
        "_answered",
        "_busy_s",
        "_limit",
        "_refused",
        "_since_s",
        "_speed_per_s",
        "_untold",
        "_wait_s",
        "in_flight",
        "name",
    )

    def __init__(self, name: str, wait_s: float) -> None:
        self.name = name
        self._refused = telemetry.REFUSED.labels(f"overload_of_{name}")
        self._untold = 0
        self.in_flight = 0
        self._wait_s = wait_s
        self._speed_per_s = SPEED_AT_FIRST_PER_S
        self._limit = self._limit_now()
        self._since_s = 0.0
        self._busy_s = 0.0
        self._answered = 0

    @property
    def limit(self) -> int:
        """How many may be in flight at the moment."""
        return self._limit

    def enter(self) -> None:
        """Lets one in. Raises ApiError 503 when it would wait for too long."""
        if self.is_full:
            self.count_refused()
            raise self.refusal
        self.step_in()

    @property
    def is_full(self) -> bool:
        """Whether the next one would wait for too long."""
        return self.in_flight >= self._limit

    @property
    def refusal(self) -> ApiError:
        """Why one is not let in."""
        detail = f"More {self.name} have come than can be answered soon; try again."
        return ApiError(503, "overloaded", detail, retry_after_s=RETRY_AFTER_S)

    def count_refused(self) -> None:
        """One is not let in; the metric has it after `tell`: in a flood a tenth of a refusal would be the counting."""
        self._untold += 1

    def tell(self) -> None:
        """Counts in the metric who was refused since the last time."""
        if self._untold:
            self._refused.inc(self._untold)
            self._untold = 0

    def leave(self) -> None:
        """One that was let in is answered, or has gone."""
        if self.in_flight >= BUSY:
            self._answered += 1
            self._count_time()
            if self._busy_s >= LOOK_S:
                self._learn()
        self.in_flight -= 1

    def step_out(self) -> None:
        """It waits for its client, and takes no place meanwhile."""
        if self.in_flight == BUSY:
            self._count_time()
        self.in_flight -= 1

    def step_in(self) -> None:
        """Its client has sent what was waited for."""
        self.in_flight += 1
        if self.in_flight == BUSY:
            self._since_s = monotonic()

    def _count_time(self) -> None:
        now = monotonic()
        self._busy_s += now - self._since_s
        self._since_s = now

    def _learn(self) -> None:
        kept = math.exp(-self._busy_s / MEMORY_S)
        self._speed_per_s = kept * self._speed_per_s + (1.0 - kept) * self._answered / self._busy_s
        self._limit = self._limit_now()
        self._busy_s = 0.0
        self._answered = 0

    def _limit_now(self) -> int:
        return max(IN_FLIGHT_MIN, int(self._speed_per_s * self._wait_s))
