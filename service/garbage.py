"""Python's search for cycles, as a server needs it: a batch makes thousands of objects that live until it is written, and none is in a cycle."""

import gc
from typing import Final

YOUNG_MAX: Final = 10_000
"""Objects before the young ones are looked through; by default 700, which is 35 decisions of a batch, and a fifth of its time."""

_YOUNG_LOOKS: Final = 20
_MIDDLE_LOOKS: Final = 50


def begin() -> None:
    """To be called when all is imported, which is from then on never looked through again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, _YOUNG_LOOKS, _MIDDLE_LOOKS)
