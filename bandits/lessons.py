"""What many people's tastes are taught, noted in columns and counted by one call of a kernel: for one event the call costs ten times the counting."""

from array import array
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from bandits.kernels import tastes as kernels
from bandits.tastes import EndToEnd, end_to_end


class Lessons:
    """In the order in which they are noted; the methods are those of bandits.tastes.Tastes, and so is what comes of them."""

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        self._people = array("q")
        self._kinds = array("q")
        self._amounts = array("d")
        self._at_s = array("d")
        self._tag_ids = array("H")
        self._tag_starts = array("q", [0])

    @property
    def user_ids(self) -> list[int]:
        """Who is taught, in the order in which their states are wanted."""
        return list(self._places)

    def bought(self, user_id: int, tag_ids: Iterable[int], at_s: float) -> None:
        """A basket with these tags at at_s, in seconds since 1970."""
        self._note(user_id, kernels.BASKET, 0.0, at_s, tag_ids)

    def interested(self, user_id: int, tag_ids: Iterable[int], at_s: float, weight: float) -> None:
        """A view, a thumbs-up (positive weight) or a dismissal (negative) at at_s."""
        self._note(user_id, kernels.INTEREST, weight, at_s, tag_ids)

    def shown(self, user_id: int, tag_ids: Iterable[int], at_s: float, count: float) -> None:
        """An offer was shown (1) or a showing answered (-1) at at_s."""
        self._note(user_id, kernels.SHOWN, count, at_s, tag_ids)

    def pushed(self, user_id: int, at_s: float, count: float) -> None:
        """A push was accepted (1) or one answered (-1) at at_s."""
        self._note(user_id, kernels.PUSHED, count, at_s, ())

    def taught(self, states: Sequence[bytes]) -> list[bytes]:
        """The packed states of `user_ids` after all lessons; `states` are those before, no bytes for whom nothing is known of.

        Raises:
            UnknownStateError: one of them is not what bandits.tastes packs.
        """
        before = end_to_end(states)
        people, tag_starts = np.asarray(self._people), np.asarray(self._tag_starts)
        told = np.bincount(people, np.diff(tag_starts), len(states)).astype(np.int64)
        starts, entries = _with_room(before, told)
        headers = before.headers.copy()
        tag_ids = np.asarray(self._tag_ids)
        columns = (np.asarray(self._kinds), np.asarray(self._amounts), np.asarray(self._at_s))
        kernels.teach(headers, entries, starts, people, *columns, tag_ids, tag_starts)
        return _packed(headers, entries, starts)

    def _note(self, user_id: int, kind: int, amount: float, at_s: float, tag_ids: Iterable[int]) -> None:
        self._people.append(self._places.setdefault(user_id, len(self._places)))
        self._kinds.append(kind)
        self._amounts.append(amount)
        self._at_s.append(at_s)
        self._tag_ids.extend(tag_ids)
        self._tag_starts.append(len(self._tag_ids))


def _with_room(before: EndToEnd, told: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """The entries of each person with room behind them for as many more as tags are told, up to CAPACITY in all; and where each begins."""
    known = np.array(before.starts, np.int64)
    counts = np.diff(known)
    starts = np.concatenate([[0], np.cumsum(np.minimum(counts + told, kernels.CAPACITY))])
    entries = np.zeros(int(starts[-1]), kernels.ENTRY)
    entries[np.arange(len(before.entries)) + np.repeat(starts[:-1] - known[:-1], counts)] = before.entries
    return starts, entries


def _packed(headers: npt.NDArray[Any], entries: npt.NDArray[Any], starts: npt.NDArray[np.int64]) -> list[bytes]:
    head, body = headers.tobytes(), entries.tobytes()
    begins = (starts[:-1] * kernels.ENTRY.itemsize).tolist()
    ends = ((starts[:-1] + headers["entries"]) * kernels.ENTRY.itemsize).tolist()
    heads = pairwise(range(0, len(head) + 1, kernels.HEADER.itemsize))
    return [head[start:end] + body[begin:over] for (start, end), begin, over in zip(heads, begins, ends, strict=True)]
