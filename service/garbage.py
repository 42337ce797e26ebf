"""Memory as a server needs it: Python's search for cycles, and what is free given back.

A batch makes thousands of objects that live until it is written, and none is in a cycle.
"""

import ctypes
import gc
from typing import Final

YOUNG_MAX: Final = 10_000
"""Objects before the young ones are looked through; by default 700, which is 35 decisions of a batch, and a fifth of its time."""

_trim: Final = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc; others give back by themselves

_YOUNG_LOOKS: Final = 5
"""Of those that stay meanwhile, as of connections that have just come: twenty times as many are looked through for a tenth of a second."""
_MIDDLE_LOOKS: Final = 200


def begin() -> None:
    """To be called when all is imported, which is from then on never looked through again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, _YOUNG_LOOKS, _MIDDLE_LOOKS)


def give_back() -> None:
    """Gives free memory back to the system.

    A refit takes much at once, and what is freed of it lies beneath something small that stays: glibc would keep it, and the next one begin beside it.
    """
    if _trim is not None:
        _trim(0)
