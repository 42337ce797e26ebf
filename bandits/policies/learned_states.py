"""What is known of many people whose learned states lie one after the other, as a draw takes it and its log keeps it."""

from itertools import compress
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits import personal, tastes
from bandits.kernels.personal import SIZE as SUMS
from bandits.kernels.tastes import CAPACITY, ENTRY, HEADER
from bandits.tastes import LOGGED_BYTES_MAX

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_BLANK: Final = tastes.Tastes().header
_HEADER_BYTES: Final = HEADER.itemsize
_SUMS: Final = np.dtype([("version", "u1"), ("dims", "u1"), ("period", "<u2"), ("sums", "<f4", (SUMS,))])


class Packed(NamedTuple):
    """States one after the other, and where those of each begin, (n,), and how long they are; 0 bytes of whom nothing is known."""

    data: bytes
    starts: I64
    sizes: I64


class LearnedStates(NamedTuple):
    """Of n people: headers (n,) of their tastes, their entries packed, their sums packed, those as the kernel takes them (n, SIZE) with what
    they are worth now (n,). Whose `is_readable` (n,) is False has nothing here.
    """

    headers: npt.NDArray[np.void]
    entries: list[bytes]
    packed_sums: list[bytes]
    sums: F32
    faded: npt.NDArray[np.float64]
    is_readable: Mask


def for_decisions(
    states: Packed, sums: Packed, may_personalise: Mask, is_relevant: Mask, joined_s: I64, now_s: float
) -> LearnedStates:
    """As `tastes.for_decision` and `personal.end_to_end` give them.

    Args:
        states: packed tastes.
        sums: packed sums of their own parts.
        may_personalise: (n,) False of whom nothing may be used.
        is_relevant: (tags,) whether any offer carries the tag.
        joined_s: (n,) when each became known, in seconds since 1970, at least 1.
        now_s: seconds since 1970.
    """
    used = np.where(may_personalise, states.sizes, 0), np.where(may_personalise, sums.sizes, 0)
    headers, entries, are_tastes = _tastes(states._replace(sizes=used[0]), is_relevant, joined_s, may_personalise)
    packed, numbers, faded, are_sums = _sums(sums._replace(sizes=used[1]), now_s)
    return LearnedStates(headers, entries, packed, numbers, faded, are_tastes & are_sums)


def _tastes(
    states: Packed, is_relevant: Mask, joined_s: I64, is_known: Mask
) -> tuple[npt.NDArray[np.void], list[bytes], Mask]:
    data, starts, sizes = states
    headers = np.repeat(_BLANK, len(sizes))
    some = np.flatnonzero(sizes >= _HEADER_BYTES)
    raw = np.frombuffer(data, np.uint8)
    headers[some] = raw[starts[some, None] + np.arange(_HEADER_BYTES)].view(HEADER)[:, 0]
    counts = headers["entries"].astype(np.int64)
    is_readable = (sizes == 0) | (
        (headers["version"] == tastes.VERSION)
        & (counts <= CAPACITY)
        & (sizes == _HEADER_BYTES + counts * ENTRY.itemsize)
    )
    since = headers["known_since_s"]
    later = is_known & ((since == 0) | (since > joined_s))
    since[later] = joined_s[later]
    begins, ends = (starts + _HEADER_BYTES).tolist(), (starts + sizes).tolist()  # of nobody nothing
    entries = [data[begin:end] for begin, end in zip(begins, ends, strict=True)]
    for n in np.flatnonzero(is_readable & (sizes > LOGGED_BYTES_MAX)).tolist():
        whole = tastes.for_decision(headers[n].tobytes() + entries[n], is_relevant)
        headers[n] = np.frombuffer(whole, HEADER, 1)[0]
        entries[n] = whole[_HEADER_BYTES:]
    return headers, entries, is_readable


def _sums(states: Packed, now_s: float) -> tuple[list[bytes], F32, npt.NDArray[np.float64], Mask]:
    data, starts, sizes = states
    begins, ends = starts.tolist(), (starts + sizes).tolist()
    packed = [data[begin:end] for begin, end in zip(begins, ends, strict=True)]
    found, is_whole = np.zeros(len(sizes), _SUMS), sizes == personal.BYTES
    found[is_whole] = np.frombuffer(b"".join(compress(packed, is_whole.tolist())), _SUMS)
    is_ours = (found["version"] == personal.VERSION) & (found["dims"] == personal.DIMS)
    found[~is_ours] = 0
    periods = found["period"]
    faded = np.empty(len(sizes))
    for period in np.unique(periods).tolist():
        faded[periods == period] = personal.faded(period, now_s)
    return packed, np.ascontiguousarray(found["sums"]), faded, (sizes == 0) | is_ours
