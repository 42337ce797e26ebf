"""When the next request is due: by the shape of the day, no sooner than the learner can follow."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator
from typing import Final

from loadtest.soak.plan import Plan, SoakClock
from loadtest.soak.shape import Shape
from loadtest.soak.told import Told

LOOK_S: Final = 0.02
HOLD_FROM_S: Final = 20.0
"""So far behind, in real seconds, the learner may be before the traffic waits for it."""
HOLD_UNTIL_S: Final = 5.0


class Pacing:
    """Shared by all clients of a run. `lag_s` is told by the sampler; `held_s` is for how long the traffic has waited for the learner."""

    def __init__(self, plan: Plan, clock: SoakClock, told: Told) -> None:
        self.clock = clock
        self.held_s = 0.0
        self._plan = plan
        self._told = told
        self._shape = Shape(plan.days)
        self._ends = time.monotonic() + plan.minutes_max * 60
        self._handed_out = 0
        self._held_since: float | None = None
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """Whether all is told and the days have gone by, or there is no time left."""
        if time.monotonic() > self._ends or self._is_over:
            return True
        is_told = self._told.acknowledged >= self._plan.events
        return is_told and self.clock.days_since(self.clock.shown) >= self._plan.days

    def stop(self) -> None:
        """Ends it now."""
        self._is_over = True

    @contextlib.contextmanager
    def ended_by_signals(self) -> Iterator[None]:
        """Who is told to end (SIGTERM, SIGINT) tells nothing more, and judges what was reached."""
        loop, numbers = asyncio.get_running_loop(), (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def hear_lag(self, lag_s: float) -> None:
        """Holds the traffic back while the learner is far behind."""
        now = time.monotonic()
        if self._held_since is not None:
            self.held_s += now - self._held_since
            self._held_since = now
        if lag_s > HOLD_FROM_S and self._held_since is None:
            self._held_since = now
        elif lag_s < HOLD_UNTIL_S:
            self._held_since = None

    async def next_events(self, count: int) -> int:
        """How many events to send, as soon as so many are due; 0 when the run is over. Of many that are due late none is left out."""
        while not self.is_over:
            due = self._plan.events * self._shape.share_by(self.clock.days_since(self.clock.shown))
            if self._held_since is None and self._handed_out + count <= max(due, 1.0):
                self._handed_out += count
                return count
            if self._handed_out < self._plan.events < self._handed_out + count:
                count = self._plan.events - self._handed_out
                continue
            await asyncio.sleep(LOOK_S)
        return 0

    async def until_told(self, events: float) -> bool:
        """Returns when so many events are acknowledged: True, or False when the run is over before."""
        while self._told.acknowledged < events or self.clock.now() < self.clock.shown:
            if self.is_over:
                return False
            await asyncio.sleep(LOOK_S)
        return not self.is_over
