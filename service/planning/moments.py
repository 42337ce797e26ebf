"""The hour of the week for each person's push, from the rhythms the learner keeps."""

from collections.abc import Sequence

import numpy as np

from bandits import send_time
from service.store.current_snapshot import SnapshotCache
from service.store.learned_state import rhythm_in


class LearnedMoments:
    """Draws hours by the person's own rhythm, shrunk to that of the population in the current snapshot."""

    def __init__(self, snapshot: SnapshotCache) -> None:
        self._snapshot = snapshot

    def draw(
        self, rhythms: Sequence[bytes], allowed: Sequence[Sequence[bool]], uniforms: Sequence[float]
    ) -> list[tuple[int, float]]:
        """For each person the local hour of the week and its propensity."""
        model = self._snapshot.current
        if model is None:
            raise RuntimeError("no snapshot has been loaded: nothing can be planned yet")
        visits = np.stack([rhythm_in(packed).visits for packed in rhythms])
        probabilities = send_time.pmf(send_time.scores(visits, model.hour_shares), np.asarray(allowed, np.bool_))
        hours = send_time.draw(probabilities, np.asarray(uniforms))
        return [(int(hour), float(row[hour])) for hour, row in zip(hours, probabilities, strict=True)]
