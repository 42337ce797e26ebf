"""Whether the service has become slow: its answers take much longer than they used to, which is how it says that it has too much to do."""

from typing import Final

RISE: Final = 2.0
"""So many times the usual wait, and LEAST_S longer, is slow: the jitter of short waits says nothing."""

LEAST_S: Final = 0.5
FORGETS: Final = 1.01
"""The usual wait grows by a hundredth with each batch that waited longer: what lasts becomes usual after some seventy."""


class Latency:
    """Compares each batch with the quickest of late."""

    def __init__(self) -> None:
        self._usual_s: float | None = None

    def is_risen(self, waited_s: float) -> bool:
        """Whether a batch that waited so long for its answers was slow."""
        usual_s = self._usual_s
        self._usual_s = waited_s if usual_s is None else min(waited_s, usual_s * FORGETS)
        return usual_s is not None and waited_s > max(RISE * usual_s, usual_s + LEAST_S)
