"""What `draw_many` reads of people, offers, model and terms, and what it writes of each draw."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I16 = NDArray[np.int16]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]


class People(NamedTuple):
    """For whom: headers (n,) tastes.HEADER; entries of all, those of person i from starts[i] to starts[i + 1] (n + 1,).

    is_known (n,) False where nothing personal may be used; hours (n,) of the day on each clock, negative when unknown; ranked_by (n,)
    BY_VALUE, EVENLY or a column of phi; keys (n,) of the decisions; mask_of (n,) rows of masks (m, offers), each with an eligible offer at
    least; sums (n, personal.SIZE), worth faded (n,) now.
    """

    headers: NDArray[np.void]
    entries: NDArray[np.void]
    starts: I64
    is_known: Mask
    hours: F64
    ranked_by: I64
    keys: NDArray[np.uint64]
    mask_of: I64
    masks: Mask
    sums: F32
    faded: F64


class Shelf(NamedTuple):
    """The offers and what is known of things, as `featurize_known` takes it; axes (offers, personal.AXES); nothing_held (tags,) False."""

    tags: I16
    may_be_personal: Mask
    discounts: F32
    of_people: F64
    axes: F32
    companions: I16
    lifts: F32
    cycles_s: F32
    nothing_held: Mask


class Belief(NamedTuple):
    """The model as `score_offers` takes it; precision (personal.DIMS,) of the prior of people's own parts, (0,) where there are none."""

    means: F32
    factors: F32
    worth: F64
    is_logit: bool
    own_head: int
    precision: F64


class Terms(NamedTuple):
    """What holds for all; spread and optimism (see `draw_slate`) only for those who are ranked by value.

    price is that of attention, before what earlier pushes left unanswered makes of it; margin and is_nonnegative as `send_probability`.
    """

    now_s: float
    ahead_s: float
    floor: float
    spread: float
    optimism: float
    is_gated: bool
    price: float
    margin: float
    is_nonnegative: bool


class Draws(NamedTuple):
    """What is written of each: chosen (n,) an offer or NOT_DRAWN, and then the rest means nothing; propensity (n,); send (n,) its probability.

    is_sent (n,) 0 or 1; pmf (n, offers); of the chosen offer phi (n, d), predictions (n, heads, 2), z (n, personal.DIMS) where there is an
    own part, and offset (n,), that part in eta.
    """

    chosen: I64
    propensity: F64
    send: F64
    is_sent: I64
    pmf: F64
    phi: F32
    predictions: F32
    z: F32
    offset: F32
