"""The offers that are eligible, as the steps of a decision want them: found once for all who have the same."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.store.catalogue import Catalogue

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


class Eligible(NamedTuple):
    """A mask (offers,), which is not to be written to; the same as places, and as it is logged; whether any of them has a limit."""

    mask: Mask
    places: Places
    packed: bytes
    has_limits: bool


def of(catalogue: Catalogue, mask: Mask) -> Eligible:
    """What is known of a mask, which becomes read-only."""
    mask.flags.writeable = False
    has_limits = catalogue.has_limits and bool((mask & catalogue.is_limited).any())
    return Eligible(mask, np.flatnonzero(mask), np.packbits(mask, bitorder="little").tobytes(), has_limits)
