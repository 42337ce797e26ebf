"""How long the learner waits for more after a pass."""

from typing import Final

GATHERS_FROM: Final = 128
GATHERS_S: Final = 0.1
"""After so many entries in a pass it is waited so long for more: a pass costs the same rows of 64 partitions whatever it counts."""

GATHERS_MORE_FROM: Final = 1_000
TIMES_MAX: Final = 8.0
"""After more than so many it is waited in proportion, up to so many times as long: who comes twice in a pass is read and written once."""


def after(counted: int) -> float:
    """Seconds, unless somebody waits for what was appended; 0 after a pass that counted little."""
    if counted < GATHERS_FROM:
        return 0.0
    return GATHERS_S * min(max(counted / GATHERS_MORE_FROM, 1.0), TIMES_MAX)
