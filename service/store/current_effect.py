"""What this process knows of what pushes add: replaced whole when a newer effect is there and found sound."""

from typing import Any, Final, NamedTuple

from bandits import incremental
from bandits.incremental import Known
from service import telemetry
from service.store import effects
from service.store.effects import PRIOR_VERSION, EffectDamagedError, EffectMissingError

_LOG: Final = telemetry.logger("effect")


class Current(NamedTuple):
    """An effect ready to draw by, its version, and how many pushes it was learned from."""

    version: int
    pushes: int
    known: Known


class EffectCache:
    """`current` is the prior until something was learned."""

    def __init__(self) -> None:
        self.current = Current(PRIOR_VERSION, 0, incremental.known(incremental.UNKNOWN))
        self._refused = PRIOR_VERSION

    async def refresh(self, connection: Any) -> Current:
        """Takes the newest effect; one that must not be decided by is refused, counted, and the last good one stays."""
        newest = await effects.newest(connection)
        if newest is None or newest.version in {self.current.version, self._refused}:
            return self.current
        try:
            self.current = Current(newest.version, newest.pushes, await effects.load(connection, newest.version))
        except (EffectDamagedError, EffectMissingError) as error:
            self._refused = newest.version
            telemetry.EFFECTS_REFUSED.inc()
            _LOG.error("effect refused", version=newest.version, reason=str(error))
        return self.current
