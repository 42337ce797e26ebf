"""The shadow price of what has an end: it rises while more is taken than the time that is left allows, and falls while less is.

Dual mirror descent with the negative entropy as its mirror map (Balseiro, Lu and Mirrokni, The Best of Many Worlds: Dual Mirror Descent for
Online Allocation Problems, Operations Research 71 (2023) 101-119; with the identity it is the adaptive pacing of Balseiro and Gur, Learning in
Repeated Auctions with Budgets, Management Science 65 (2019) 3952-3968), its target set anew at every step to what is left over the time
that is left. A step is the share that was taken of what was left, less the share that went by of the time that was left, so that neither the
size of a budget nor how often one looks matters: the logarithm of the price follows GAIN times the difference, and never falls below where it
began, so that what was not taken before is not made up for in a rush.
"""

import math
from typing import Final

GAIN: Final = 50.0
"""The price grows e-fold while two hundredths of what is left are taken ahead of time."""

NEGLIGIBLE: Final = 1.0
"""Ahead by less than this there is no price: where there is enough, nothing is held back."""

LEAST: Final = 1e-3
MOST: Final = 1.0
"""Prices are told in what a redemption is worth; nothing is worth more than that."""

AHEAD_MAX: Final = NEGLIGIBLE + math.log1p(MOST / LEAST)


def ahead(before: float, taken: float, passed: float) -> float:
    """How far taking is ahead of time, as the price sees it.

    Args:
        before: how far it was.
        taken: logarithm of what was left over what is left now; infinite when nothing is.
        passed: logarithm of the time that was left over that which is left now.
    """
    return min(max(before + GAIN * (taken - passed), 0.0), AHEAD_MAX)


def log_ratio(before: float, after: float) -> float:
    """The logarithm by which something became less; infinite when it is used up, 0 when there was none of it before."""
    if before <= 0.0:
        return 0.0
    return math.log(before / after) if after > 0.0 else math.inf


def price(how_far: float) -> float:
    """Of one, in what a redemption is worth: 0 while taking is not ahead of time, at most MOST."""
    return LEAST * math.expm1(max(how_far - NEGLIGIBLE, 0.0))
