"""What `draw_many` reads of people, offers, model and terms, and what it writes of each draw."""

import struct
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import records_in

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I16 = NDArray[np.int16]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]


PERSON: Final = np.dtype(
    [
        ("key", "<u8"),
        ("hour", "<f8"),
        ("nearness", "<f8"),
        ("faded", "<f8"),
        ("entries_from", "<i8"),
        ("entries_to", "<i8"),
        ("basket_from", "<i8"),
        ("basket_to", "<i8"),
        ("ranked_by", "<i4"),
        ("choice", "<i4"),
        ("is_known", "?"),
        ("is_wet", "?"),
    ],
    align=True,
)
"""One for whom is drawn: the key of the decision; the hour of the day on their clock, negative when unknown; nearness and is_wet as
`featurize_known` takes them; what their sums are worth now; where their entries and the tags of their basket lie; what their offers are
ranked by (BY_VALUE, EVENLY or a column of phi); which choice of offers is theirs; False where nothing personal may be used.
"""
PERSON_STRUCT: Final = struct.Struct("<Qdddqqqqii??6x")
"""The same for `struct`, field by field."""

people_in: Final = records_in(PERSON)


class People(NamedTuple):
    """For whom: people (n,) of PERSON, headers (n,) tastes.HEADER, the entries of all, the tags of all baskets, and sums (n, personal.SIZE).

    `eligible` has the places of the offers of m choices one after the other, each at least one in ascending order, those of choice j from
    eligible_starts[j] to eligible_starts[j + 1].
    """

    people: NDArray[np.void]
    headers: NDArray[np.void]
    entries: NDArray[np.void]
    baskets: I64
    sums: F32
    eligible: I64
    eligible_starts: I64


class Shelf(NamedTuple):
    """The offers and what is known of things, as `featurize_known` takes it; axes (offers, personal.AXES); tag_count of what an offer may carry."""

    tags: I16
    may_be_personal: Mask
    discounts: F32
    of_people: F64
    axes: F32
    companions: I16
    lifts: F32
    cycles_s: F32
    tag_count: int


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

    price is that of attention, before what earlier pushes left unanswered makes of it; margin and is_nonnegative as `send_probability`;
    slots and per_tag_max as `draw_slate`.
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
    slots: int
    per_tag_max: int


class Draws(NamedTuple):
    """What is written of each: filled (n,) slots, and where that is 0 the rest means nothing; chosen (n, slots) offers, NOT_DRAWN where none was left.

    propensity (n, slots); pmf (n, most eligible) of the first slot, of the eligible offers alone in their order; send (n,) its probability, is_sent (n,) 0 or 1; of the chosen offers phi
    (n, slots, d), predictions (n, slots, heads, 2), z (n, slots, personal.DIMS) where there is an own part, and offset (n, slots), that
    part in eta.
    """

    filled: I64
    chosen: I64
    propensity: F64
    pmf: F64
    send: F64
    is_sent: I64
    phi: F32
    predictions: F32
    z: F32
    offset: F32
