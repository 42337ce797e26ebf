"""The tastes of one person: kept as bytes in PostgreSQL, unpacked to be taught or to be looked at."""

import struct
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.kernels import tastes as kernels

VERSION: Final = 2
LOGGED_BYTES_MAX: Final = 1024
"""A decision logs at most this much of a person's state, and decides by no more than it logs."""

_VERSION_AND_ENTRIES: Final = struct.Struct("<HH")
_SINCE: Final = struct.Struct("<I")
_SINCE_AT: Final = dict(kernels.HEADER.fields or {})["known_since_s"][1]
_HEADER_BYTES: Final = kernels.HEADER.itemsize
_ENTRY_BYTES: Final = kernels.ENTRY.itemsize
_CAPACITY: Final = kernels.CAPACITY
_LOGGED_ENTRIES: Final = (LOGGED_BYTES_MAX - _HEADER_BYTES) // _ENTRY_BYTES


class UnknownStateError(ValueError):
    """The bytes are not a state this program can read."""


class Tastes:
    """One person's state; `header` is (1,) HEADER, `entries` is (CAPACITY,) ENTRY of which the first header.entries count."""

    __slots__ = ("entries", "header")

    def __init__(self) -> None:
        self.header = np.zeros(1, kernels.HEADER)
        self.header["version"] = VERSION
        self.entries = np.zeros(kernels.CAPACITY, kernels.ENTRY)

    def bought(self, tag_ids: Iterable[int], at_s: float) -> None:
        """A basket with these tags at at_s, in seconds since 1970."""
        kernels.add_basket(self.header, self.entries, _tags(tag_ids), at_s)

    def interested(self, tag_ids: Iterable[int], at_s: float, weight: float) -> None:
        """A view, a thumbs-up (positive weight) or a dismissal (negative) at at_s."""
        kernels.add_interest(self.header, self.entries, _tags(tag_ids), at_s, weight)

    def shown(self, tag_ids: Iterable[int], at_s: float, count: float) -> None:
        """An offer was shown (1) or a showing answered (-1) at at_s."""
        kernels.add_shown(self.header, self.entries, _tags(tag_ids), at_s, count)

    def pushed(self, at_s: float, count: float) -> None:
        """A push was accepted (1) or one answered (-1) at at_s."""
        kernels.add_pushed(self.header, self.entries, at_s, count)

    def pack(self) -> bytes:
        """The whole state as little-endian records."""
        return self.header.tobytes() + self.entries[: int(self.header["entries"][0])].tobytes()


def unpack(data: bytes) -> Tastes:
    """Reads what `pack` wrote; no bytes are a person nothing is known of.

    Raises:
        UnknownStateError: another version, or a length that does not fit the header.
    """
    tastes = Tastes()
    if data:
        state = view(data)
        tastes.header = state.header.copy()
        tastes.entries[: len(state.entries)] = state.entries
    return tastes


class View(NamedTuple):
    """A packed state to be looked at, not written to: header (1,), entries (header.entries,)."""

    header: npt.NDArray[np.void]
    entries: npt.NDArray[np.void]


_NOBODY: Final = View(Tastes().header, np.zeros(0, kernels.ENTRY))
_BLANK: Final = _NOBODY.header.tobytes()


def view(data: bytes) -> View:
    """As `unpack`, without a copy: a decision needs no more.

    Raises:
        UnknownStateError: another version, or a length that does not fit the header.
    """
    if not data:
        return _NOBODY
    count = _check(data)
    return View(np.frombuffer(data, kernels.HEADER, 1), np.frombuffer(data, kernels.ENTRY, count, _HEADER_BYTES))


def _check(data: bytes) -> int:
    """How many entries a state has. Raises UnknownStateError."""
    if not data:
        return 0
    if len(data) < _HEADER_BYTES:
        raise UnknownStateError(f"a state of {len(data)} bytes is shorter than its header")
    version, count = _VERSION_AND_ENTRIES.unpack_from(data)
    if version != VERSION or count > _CAPACITY or len(data) != _HEADER_BYTES + count * _ENTRY_BYTES:
        raise UnknownStateError(f"version {version} with {count} entries in {len(data)} bytes")
    return count  # type: ignore[no-any-return] # struct is untyped


class EndToEnd(NamedTuple):
    """The states of n people: headers (n,), and the entries of person i from starts[i] to starts[i + 1]."""

    headers: npt.NDArray[np.void]
    entries: npt.NDArray[np.void]
    starts: list[int]


def end_to_end(states: Sequence[bytes]) -> EndToEnd:
    """Lays packed states behind each other; no bytes are a person nothing is known of.

    Raises:
        UnknownStateError: one of them is not what `pack` wrote.
    """
    starts = [0, *accumulate([_check(state) for state in states])]
    headers = np.frombuffer(b"".join([state[:_HEADER_BYTES] or _BLANK for state in states]), kernels.HEADER)
    entries = np.frombuffer(b"".join([state[_HEADER_BYTES:] for state in states]), kernels.ENTRY)
    return EndToEnd(headers, entries, starts)


def unanswered(state: View, at_s: float) -> float:
    """Pushes the person has not answered, as they weigh at at_s: 1 just after one, half of that after 15 days."""
    return float(kernels.pushed_at(state.header, at_s))


def for_decision(data: bytes, is_relevant: npt.NDArray[np.bool_], joined_s: float = 0.0) -> bytes:
    """The part of a packed state that a decision uses and logs, at most LOGGED_BYTES_MAX.

    Args:
        data: a packed state; no bytes when nothing was heard of the person yet.
        is_relevant: (tags,) whether any offer of the catalogue carries the tag; a larger tag id is not relevant.
        joined_s: when the person became known at all, in seconds since 1970, 0 when that is not known: who joined and never came is no
            newcomer for ever.

    Returns:
        The state, known since joined_s if that is earlier; of one that is too large the relevant entries with the most evidence, by tag id.
    """
    _check(data)
    packed = data
    if joined_s > 0.0 and not 0 < _SINCE.unpack_from(data or _BLANK, _SINCE_AT)[0] <= int(joined_s):
        whole = data or _BLANK
        packed = whole[:_SINCE_AT] + _SINCE.pack(int(joined_s)) + whole[_SINCE_AT + _SINCE.size :]
    return packed if len(packed) <= LOGGED_BYTES_MAX else _most_evident(view(packed), is_relevant)


def _most_evident(state: View, is_relevant: npt.NDArray[np.bool_]) -> bytes:
    """The relevant entries with the most evidence, by tag id, as many as may be logged."""
    entries = state.entries[state.entries["tag_id"] < len(is_relevant)]
    entries = entries[is_relevant[entries["tag_id"]]]
    if len(entries) > _LOGGED_ENTRIES:
        evidence = entries["bought"] + np.abs(entries["interest"]) + entries["shown"] / kernels.SHOWN_UNIT
        entries = entries[np.sort(np.argsort(-evidence, kind="stable")[:_LOGGED_ENTRIES])]
    header = state.header.copy()
    header["entries"] = len(entries)
    return bytes(header.tobytes() + entries.tobytes())


def merge(survivor: bytes, other: bytes) -> bytes:
    """The state of a person of whom two halves were known under two ids: counts add, the latest instants stay."""
    tastes, lost = unpack(survivor), unpack(other)
    as_of_s = float(max(tastes.header["as_of_s"][0], lost.header["as_of_s"][0]))
    for state in (tastes, lost):
        kernels.decay_to(state.header, state.entries, as_of_s)
    for count in ("baskets", "pushed"):
        tastes.header[count] += lost.header[count]
    tastes.header["last_basket_s"] = np.maximum(tastes.header["last_basket_s"], lost.header["last_basket_s"])
    since = [int(state.header["known_since_s"][0]) for state in (tastes, lost)]
    tastes.header["known_since_s"] = min((one for one in since if one), default=0)
    for entry in lost.entries[: int(lost.header["entries"][0])]:
        i = kernels.entry_of(tastes.header, tastes.entries, int(entry["tag_id"]))
        own = tastes.entries[i]
        own["bought"] += entry["bought"]
        own["interest"] += entry["interest"]
        own["bought_s"] = max(own["bought_s"], entry["bought_s"])
        if entry["shown_s"]:
            seen = int(entry["shown"]) / kernels.SHOWN_UNIT
            tastes.shown([int(entry["tag_id"])], float(entry["shown_s"]), seen)
    return tastes.pack()


def _tags(tag_ids: Iterable[int]) -> npt.NDArray[np.uint16]:
    return np.fromiter(tag_ids, np.uint16)
