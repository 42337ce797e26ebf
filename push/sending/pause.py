"""A pause on the clock that sending is given; once that clock was set back, as long as it was meant to be."""

import time
from datetime import datetime


class Pause:
    """`until` is the end of the newest one, None before the first."""

    def __init__(self) -> None:
        self.until: datetime | None = None
        self._begun_at: datetime | None = None
        self._goes_on_at_s = 0.0

    def begin(self, at: datetime, until: datetime) -> None:
        """Nothing from `at` on before `until`; of two pauses at once the longer counts."""
        if self.until is not None and self._begun_at is not None and self._begun_at <= at < self.until:
            until = max(until, self.until)
        self.until, self._begun_at = until, at
        self._goes_on_at_s = time.monotonic() + (until - at).total_seconds()

    def holds(self, at: datetime) -> bool:
        """Whether it is not over at `at`."""
        if self.until is None or self._begun_at is None:
            return False
        return at < self.until if at >= self._begun_at else time.monotonic() < self._goes_on_at_s
