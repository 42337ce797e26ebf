"""Memory as a server needs it: Python's search for cycles, and what is free given back.

A batch makes thousands of objects that live until it is written, and none is in a cycle.
"""

import ctypes
import gc
from time import monotonic
from typing import Final

YOUNG_MAX: Final = 100_000
"""Objects before the young ones are looked through wherever one is: more than what all that is let in has made. In a flood a look takes 25 to 45 ms."""
QUIET_FROM: Final = 5_000
"""Young objects from which a quiet moment is used to look through them: few of them are still in use, and it is over soon."""
ALL_EVERY_S: Final = 600.0
"""How often a quiet moment is used to look through the old ones too."""

LARGE_BYTES: Final = 2**20
"""Arrays from this size on come from the system and go back to it one by one."""

# Of glibc; others give back by themselves.
_trim: Final = getattr(ctypes.CDLL(None), "malloc_trim", None)
_option: Final = getattr(ctypes.CDLL(None), "mallopt", None)
_MMAP_THRESHOLD: Final = -3

_YOUNG_LOOKS: Final = 2
"""Of those that stay meanwhile, as of connections that have just come: twenty times as many are looked through for a tenth of a second."""
_MIDDLE_LOOKS: Final = 50


def begin() -> None:
    """To be called when all is imported, which is from then on never looked through again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, _YOUNG_LOOKS, _MIDDLE_LOOKS)


class QuietLooks:
    """Looks for cycles when nothing is under way, where they hold nobody up."""

    def __init__(self) -> None:
        self._all_at_s = monotonic()

    def look(self) -> None:
        """To be called at quiet moments, often; does something at few of them."""
        if monotonic() - self._all_at_s > ALL_EVERY_S:
            gc.collect()
            self._all_at_s = monotonic()
        elif gc.get_count()[0] > QUIET_FROM:
            gc.collect(1)


def keep_large_apart() -> None:
    """What is large is never laid between what is small, where it would keep its place when it is free.

    To begin with glibc does so too, but from the size of the largest that was ever freed on, up to 32 MiB.
    """
    if _option is not None:
        _option(_MMAP_THRESHOLD, LARGE_BYTES)


def give_back() -> None:
    """Gives free memory back to the system.

    A refit takes much at once, and what is freed of it lies beneath something small that stays: glibc would keep it, and the next one begin beside it.
    """
    if _trim is not None:
        _trim(0)
