"""What became of pushes, as /metrics tells it."""

import math
from collections.abc import Mapping

from push.meter import ALARMS
from service import telemetry


class PushMeter:
    """Counts in this process."""

    def __init__(self) -> None:
        for what in ALARMS:  # an alert needs to see them at nought
            telemetry.PUSH_ALARMS.labels(what)

    def count(self, outcomes: Mapping[str, int]) -> None:
        """Adds outcomes by their words."""
        for outcome, pushes in outcomes.items():
            telemetry.PUSHES.labels(outcome).inc(pushes)

    def rate(self, per_s: float) -> None:
        """The rate in force; without a limit none is told."""
        if math.isfinite(per_s):
            telemetry.PUSH_RATE.set(per_s)

    def alarm(self, what: str) -> None:
        """One of ALARMS."""
        telemetry.PUSH_ALARMS.labels(what).inc()
