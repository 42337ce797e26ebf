"""What a person is known to like, tag by tag: decayed counts that are updated in place.

The state of one person is a header of one record and up to `CAPACITY` entries of one record each. Counts decay with a
half-life towards the instant `as_of_s` of the header, so a late fact counts as if it had come in time (up to float32 rounding).
"""

from typing import Final

import numba
import numpy as np
from numba import types

from bandits.kernels.compile import f64, f64_in, i64, i64_in, kernel, void

CAPACITY: Final = 128
"""Entries a person's state can hold; the least important one makes room."""

BOUGHT_HALF_LIFE_S: Final = 84.0 * 86400.0
INTEREST_HALF_LIFE_S: Final = 28.0 * 86400.0
SHOWN_HALF_LIFE_S: Final = 15.0 * 86400.0
"""Fatigue recovers as in Yancey and Settles (KDD 2020), table 2: a half-life of 15 days."""

SHOWN_UNIT: Final = 1024.0
"""`shown` is a fixed-point number of this many parts."""

HEADER: Final = np.dtype(
    [
        ("version", "<u2"),
        ("entries", "<u2"),
        ("as_of_s", "<u4"),
        ("known_since_s", "<u4"),
        ("last_basket_s", "<u4"),
        ("baskets", "<f4"),
        ("pushed", "<f4"),
    ],
    align=True,
)
ENTRY: Final = np.dtype(
    [
        ("tag_id", "<u2"),
        ("shown", "<u2"),
        ("bought", "<f4"),
        ("interest", "<f4"),
        ("bought_s", "<u4"),
        ("shown_s", "<u4"),
    ],
    align=True,
)

header_array: Final = types.Array(numba.from_dtype(HEADER), 1, "C")
entry_array: Final = types.Array(numba.from_dtype(ENTRY), 1, "C")
header_in: Final = header_array.copy(readonly=True)
entries_in: Final = entry_array.copy(readonly=True)
tag_array: Final = types.Array(types.uint16, 1, "C", readonly=True)
starts_array: Final = types.Array(types.int64, 1, "C", readonly=True)


@kernel()
def half_life_factor(elapsed_s: float, half_life_s: float) -> float:
    """What is left of 1 after elapsed_s; 1 for a negative time."""
    return float(2.0 ** (-max(elapsed_s, 0.0) / half_life_s))


@kernel()
def shown_at(parts: int, shown_s: float, at_s: float) -> float:
    """Unanswered showings as they weigh at at_s, from the fixed-point count kept at shown_s."""
    return parts / SHOWN_UNIT * half_life_factor(at_s - shown_s, SHOWN_HALF_LIFE_S)


@kernel(void(header_array, entry_array, f64))
def decay_to(header: np.ndarray, entries: np.ndarray, to_s: float) -> None:
    """Moves the reference instant forward to to_s (seconds since 1970); an earlier instant changes nothing."""
    elapsed_s = to_s - header[0].as_of_s
    if elapsed_s <= 0.0:
        return
    if header[0].as_of_s > 0:
        bought = half_life_factor(elapsed_s, BOUGHT_HALF_LIFE_S)
        interest = half_life_factor(elapsed_s, INTEREST_HALF_LIFE_S)
        header[0].baskets *= np.float32(bought)
        header[0].pushed *= np.float32(half_life_factor(elapsed_s, SHOWN_HALF_LIFE_S))
        for i in range(np.int64(header[0].entries)):
            entries[i].bought *= np.float32(bought)
            entries[i].interest *= np.float32(interest)
    header[0].as_of_s = np.uint32(to_s)


@kernel(i64(header_array, entry_array, i64))
def entry_of(header: np.ndarray, entries: np.ndarray, tag_id: int | np.int64) -> int | np.int64:
    """Index of the tag's entry, made if there is none; the entry with the least evidence makes room in a full state."""
    used = np.int64(header[0].entries)
    weakest, weakest_weight = 0, np.inf
    for i in range(used):
        if entries[i].tag_id == tag_id:
            return i
        weight = entries[i].bought + abs(entries[i].interest) + entries[i].shown / SHOWN_UNIT
        if weight < weakest_weight:
            weakest, weakest_weight = i, weight
    index = used if used < len(entries) else weakest
    if used < len(entries):
        header[0].entries = used + 1
    entries[index].tag_id = tag_id
    entries[index].shown = 0
    entries[index].bought = 0.0
    entries[index].interest = 0.0
    entries[index].bought_s = 0
    entries[index].shown_s = 0
    return index


@kernel()
def _know_since(header: np.ndarray, at_s: float) -> None:
    """From the first basket, sign of interest or push on, time without a basket tells something: who never comes has a rate of none."""
    if header[0].known_since_s == 0 or header[0].known_since_s > at_s:
        header[0].known_since_s = np.uint32(at_s)


@kernel(void(header_array, entry_array, tag_array, f64))
def add_basket(header: np.ndarray, entries: np.ndarray, tag_ids: np.ndarray, at_s: float) -> None:
    """A purchase at at_s of things with these tags (each once)."""
    decay_to(header, entries, at_s)
    weight = np.float32(half_life_factor(header[0].as_of_s - at_s, BOUGHT_HALF_LIFE_S))
    header[0].baskets += weight
    header[0].last_basket_s = max(header[0].last_basket_s, np.uint32(at_s))
    _know_since(header, at_s)
    for tag_id in tag_ids:
        i = entry_of(header, entries, np.int64(tag_id))
        entries[i].bought += weight
        entries[i].bought_s = max(entries[i].bought_s, np.uint32(at_s))


@kernel(void(header_array, entry_array, tag_array, starts_array, starts_array))
def add_baskets(
    header: np.ndarray, entries: np.ndarray, tag_ids: np.ndarray, starts: np.ndarray, at_s: np.ndarray
) -> None:
    """Purchases one after the other: at at_s[b] of things with the tags tag_ids[starts[b]:starts[b + 1]] (each once)."""
    for basket in range(len(at_s)):
        add_basket(header, entries, tag_ids[starts[basket] : starts[basket + 1]], float(at_s[basket]))


@kernel(void(header_array, entry_array, tag_array, f64, f64))
def add_interest(header: np.ndarray, entries: np.ndarray, tag_ids: np.ndarray, at_s: float, weight: float) -> None:
    """A sign of interest at at_s, a view or a thumbs-up; a negative weight takes interest away, below none too.

    Whoever uses it takes less than none for none: if it were kept so, the order of the signs would matter.
    """
    decay_to(header, entries, at_s)
    _know_since(header, at_s)
    change = np.float32(weight * half_life_factor(header[0].as_of_s - at_s, INTEREST_HALF_LIFE_S))
    for tag_id in tag_ids:
        i = entry_of(header, entries, np.int64(tag_id))
        entries[i].interest += change


@kernel(void(header_array, entry_array, f64, f64))
def add_pushed(header: np.ndarray, entries: np.ndarray, at_s: float, count: float) -> None:
    """A push of any offer reached the phone at at_s (count 1), or was answered after all (count -1)."""
    decay_to(header, entries, at_s)
    _know_since(header, at_s)
    header[0].pushed += np.float32(count * half_life_factor(header[0].as_of_s - at_s, SHOWN_HALF_LIFE_S))


@kernel(f64(header_in, f64))
def pushed_at(header: np.ndarray, at_s: float) -> float:
    """Unanswered pushes as they weigh at at_s; what rounding left of those taken back counts as none."""
    return max(float(header[0].pushed), 0.0) * half_life_factor(at_s - header[0].as_of_s, SHOWN_HALF_LIFE_S)


@kernel(void(header_array, entry_array, tag_array, f64, f64))
def add_shown(header: np.ndarray, entries: np.ndarray, tag_ids: np.ndarray, at_s: float, count: float) -> None:
    """An offer with these tags was shown at at_s (count 1), or a showing was answered after all (count -1)."""
    for tag_id in tag_ids:
        i = entry_of(header, entries, np.int64(tag_id))
        seen = shown_at(entries[i].shown, entries[i].shown_s, at_s)
        late = half_life_factor(entries[i].shown_s - at_s, SHOWN_HALF_LIFE_S)
        parts = round((seen + count * late) * SHOWN_UNIT)
        entries[i].shown = min(max(parts, 0), 65535)
        entries[i].shown_s = max(entries[i].shown_s, np.uint32(at_s))


BASKET, INTEREST, SHOWN, PUSHED = 0, 1, 2, 3
"""What a lesson is: its amount is nothing, a weight, and twice a count."""


@kernel(void(header_array, entry_array, starts_array, i64_in, i64_in, f64_in, f64_in, tag_array, starts_array))
def teach(
    headers: np.ndarray,
    entries: np.ndarray,
    starts: np.ndarray,
    people: np.ndarray,
    kinds: np.ndarray,
    amounts: np.ndarray,
    at_s: np.ndarray,
    tag_ids: np.ndarray,
    tag_starts: np.ndarray,
) -> None:
    """Lessons one after the other: lesson i is about the person people[i] and the tags tag_ids[tag_starts[i]:tag_starts[i + 1]] (each once).

    Person p has the header headers[p] and room for entries[starts[p]:starts[p + 1]], for every tag they are taught or for CAPACITY.
    """
    for i in range(len(people)):
        p = people[i]
        header, own = headers[p : p + 1], entries[starts[p] : starts[p + 1]]
        tags = tag_ids[tag_starts[i] : tag_starts[i + 1]]
        if kinds[i] == BASKET:
            add_basket(header, own, tags, at_s[i])
        elif kinds[i] == INTEREST:
            add_interest(header, own, tags, at_s[i], amounts[i])
        elif kinds[i] == SHOWN:
            add_shown(header, own, tags, at_s[i], amounts[i])
        else:
            add_pushed(header, own, at_s[i], amounts[i])
