"""The hour of the week for each person's push, from the rhythms the learner keeps."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bandits import send_time
from bandits.rhythm import RECORD
from push.decider import Rhythms
from service.store.current_snapshot import SnapshotCache
from service.telemetry import FAILURES, logger

_LOG = logger("moments")


class LearnedMoments:
    """Those of the snapshot in force."""

    def __init__(self, snapshot: SnapshotCache) -> None:
        self._snapshot = snapshot

    def current(self) -> "RhythmMoments":
        """Draws by the snapshot there is now. Raises RuntimeError: none has been loaded."""
        model = self._snapshot.current
        if model is None:
            raise RuntimeError("no snapshot has been loaded: nothing can be planned yet")
        return RhythmMoments(model.hour_shares)


class RhythmMoments(NamedTuple):
    """Draws hours by the person's own rhythm, shrunk to that of the population: its share of visits by hour of the week, (168,)."""

    hour_shares: npt.NDArray[np.float32]

    @property
    def rhythm_bytes(self) -> int:
        """The width of a packed rhythm."""
        return RECORD.itemsize

    def draw(
        self,
        rhythms: Rhythms,
        is_allowed: npt.NDArray[np.bool_],
        clock: npt.NDArray[np.int64],
        uniforms: npt.NDArray[np.float64],
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """As push.decider.Moments says. Who has a rhythm that cannot be read is drawn as somebody who has never come."""
        visits = np.ascontiguousarray(rhythms.packed.view(RECORD)["visits"])
        drawn = send_time.draw(visits, self.hour_shares, is_allowed, clock, uniforms)
        odd = int(((rhythms.sizes != 0) & (rhythms.sizes != RECORD.itemsize)).sum()) + drawn.unreadable
        if odd:
            FAILURES.labels("unreadable_state").inc(odd)
            _LOG.error("rhythms cannot be read", people=odd)
        return drawn.hours, drawn.propensities
