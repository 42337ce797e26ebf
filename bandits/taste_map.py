"""What purchases say of things, over all people: directions of taste, what goes with what, and how soon a thing is bought again.

Learned from a sample of people's packed tastes. The axes are the principal components of the standardised square roots of people's shares
of baskets, turned so that they mean what the axes before them meant (orthogonal Procrustes): a person's own part of the model is kept along
these axes, and since its prior has one variance for all axes, turning them changes nothing else.
"""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits import tastes
from bandits.kernels.featurize import SHARE_PSEUDO_BASKETS
from bandits.kernels.personal import AXES
from bandits.kernels.tastes import BOUGHT_HALF_LIFE_S, ENTRY, HEADER

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I16 = npt.NDArray[np.int16]

COMPANIONS: Final = 8
"""Companions kept of each tag."""

LIFT_MIN: Final = 1.2
LIFT_PSEUDO_BASKETS: Final = 3.0
"""A lift is shrunk to 1 as if this many baskets more had held both, and were expected to."""

TAGS_MAX: Final = 512
"""The most common tags are looked at; the others keep axes of zeros, no companions and no cycle."""

PEOPLE_MIN: Final = 50
BUYERS_MIN: Final = 10
BUYERS_SHARE_MIN: Final = 0.005

REPEATED_MIN: Final = 2.0
"""Decayed purchases of a tag from which on a person tells something of its cycle."""

_KEPT: Final = np.dtype(
    [
        ("axes", "<f4", (AXES,)),
        ("companions", "<i2", (COMPANIONS,)),
        ("lifts", "<f4", (COMPANIONS,)),
        ("cycle_s", "<f4"),
    ]
)


class DamagedTasteMapError(ValueError):
    """The bytes are not a taste map, or one with numbers that are not finite."""


class TasteMap(NamedTuple):
    """By tag id, beyond the last of which nothing is known.

    axes (tags, AXES) f32, of mean square 1 over the tags that were looked at; companions (tags, COMPANIONS) i16, padded with -1, and the
    log of their lifts (tags, COMPANIONS) f32, padded with 0; cycles_s (tags,) f32 the usual gap between purchases, 0 when not known.
    """

    version: int
    axes: F32
    companions: I16
    lifts: F32
    cycles_s: F32


def empty(version: int = 0, tags: int = 0) -> TasteMap:
    """Nothing is known of any thing."""
    return TasteMap(
        version,
        np.zeros((tags, AXES), np.float32),
        np.full((tags, COMPANIONS), -1, np.int16),
        np.zeros((tags, COMPANIONS), np.float32),
        np.zeros(tags, np.float32),
    )


def axes_of(taste_map: TasteMap, tags_of_offer: npt.NDArray[np.int16]) -> F32:
    """Axes of each offer, (offers, AXES): the mean over its tags (padded with -1), so that a new offer has its place at once."""
    if not len(taste_map.axes):
        return np.zeros((len(tags_of_offer), AXES), np.float32)
    is_tag = tags_of_offer >= 0
    is_known = is_tag & (tags_of_offer < len(taste_map.axes))
    found = taste_map.axes[np.where(is_known, tags_of_offer, 0)] * is_known[:, :, None]
    mean: F32 = (found.sum(axis=1) / np.maximum(is_tag.sum(axis=1), 1)[:, None]).astype(np.float32)
    return mean


def learn(people: Sequence[bytes], version: int, before: TasteMap, left_out: Collection[int]) -> TasteMap:
    """The map of a sample of people.

    Args:
        people: packed tastes; those that cannot be read are passed over.
        version: of the new map.
        before: the map in force, to whose axes the new ones are turned; they stay when too little is known for new ones.
        left_out: tags of sensitive and age-restricted offers, of which nothing may be concluded for other things.
    """
    sample = _Sample(people)
    tags = sample.common_tags(left_out)
    size = max(int(tags.max(initial=-1)) + 1, len(before.axes))
    learned = empty(version, size)
    if len(sample.baskets) >= PEOPLE_MIN and len(tags) > AXES:
        learned.axes[tags] = _turned(_components(sample.shares(tags)), tags, before)
    else:
        learned.axes[: len(before.axes)] = before.axes
    learned.companions[tags], learned.lifts[tags] = _companions(sample.is_in_last_basket(tags), tags)
    learned.cycles_s[tags] = sample.cycles_s(tags)
    return learned


class _Sample:
    """The entries of all people end to end: person, tag, decayed count, instant of the last purchase."""

    def __init__(self, people: Sequence[bytes]) -> None:
        views = [view for view in map(_view, people) if view is not None and view.header["baskets"][0] > 0.0]
        headers = np.concatenate([view.header for view in views]) if views else np.zeros(0, HEADER)
        entries = np.concatenate([view.entries for view in views]) if views else np.zeros(0, ENTRY)
        of_person = np.repeat(np.arange(len(views)), [len(view.entries) for view in views])
        is_bought = entries["bought_s"] > 0
        self.baskets = headers["baskets"].astype(np.float64)
        self._last_s = headers["last_basket_s"]
        self._known_s = _known_s(headers["as_of_s"].astype(np.float64) - headers["known_since_s"])
        self._person = of_person[is_bought]
        self._tag = entries["tag_id"][is_bought].astype(np.int64)
        self._bought = entries["bought"][is_bought].astype(np.float64)
        self._bought_s = entries["bought_s"][is_bought]

    def common_tags(self, left_out: Collection[int]) -> npt.NDArray[np.int64]:
        """Tags that enough people have bought, the TAGS_MAX most common, in order."""
        buyers = np.bincount(self._tag)
        buyers[[tag for tag in left_out if 0 <= tag < len(buyers)]] = 0
        enough = max(BUYERS_MIN, BUYERS_SHARE_MIN * len(self.baskets))
        order = np.argsort(-buyers, kind="stable")[:TAGS_MAX]
        return np.sort(order[buyers[order] >= enough])

    def shares(self, tags: npt.NDArray[np.int64]) -> F64:
        """(people, tags) share of each person's baskets with each tag, shrunk to that of all."""
        counts = self._spread(tags, self._bought)
        everyone = counts.sum(axis=0) / self.baskets.sum()
        shares: F64 = (counts + SHARE_PSEUDO_BASKETS * everyone) / (self.baskets + SHARE_PSEUDO_BASKETS)[:, None]
        return shares

    def is_in_last_basket(self, tags: npt.NDArray[np.int64]) -> F64:
        """(people, tags) 1 where the person's last basket held the tag: whole baskets, one of each person."""
        return self._spread(tags, (self._bought_s == self._last_s[self._person]).astype(np.float64))

    def cycles_s(self, tags: npt.NDArray[np.int64]) -> F64:
        """(tags,) time known over purchases made, of those who buy the tag again and again."""
        is_repeated = self._bought >= REPEATED_MIN
        counts = self._spread(tags, np.where(is_repeated, self._bought, 0.0))
        times_s = self._spread(tags, np.where(is_repeated, self._known_s[self._person], 0.0))
        is_known = np.count_nonzero(counts, axis=0) >= BUYERS_MIN
        return np.where(is_known, times_s.sum(axis=0) / np.maximum(counts.sum(axis=0), REPEATED_MIN), 0.0)

    def _spread(self, tags: npt.NDArray[np.int64], values: F64) -> F64:
        place = np.searchsorted(tags, self._tag)
        place = np.minimum(place, max(len(tags) - 1, 0))
        is_wanted = tags[place] == self._tag if len(tags) else np.zeros(len(self._tag), np.bool_)
        table = np.zeros((len(self.baskets), len(tags)))
        table[self._person[is_wanted], place[is_wanted]] = values[is_wanted]
        return table


def _view(data: bytes) -> tastes.View | None:
    try:
        return tastes.view(data)
    except tastes.UnknownStateError:
        return None


def _known_s(elapsed_s: F64) -> F64:
    """The time over which a decayed count was made, decayed alike."""
    left = np.exp2(-np.maximum(elapsed_s, 0.0) / BOUGHT_HALF_LIFE_S)
    known: F64 = BOUGHT_HALF_LIFE_S / np.log(2.0) * (1.0 - left)
    return known


def _components(shares: F64) -> F64:
    """(tags, AXES) loadings of mean square 1, the first axis the one in which people differ most."""
    roots = np.sqrt(shares)
    roots -= roots.mean(axis=0)
    roots /= np.maximum(roots.std(axis=0), 1e-6)
    _, vectors = np.linalg.eigh(roots.T @ roots / len(roots))
    axes = vectors[:, ::-1][:, :AXES] * np.sqrt(len(vectors))
    # An eigenvector has no sign of its own.
    largest = axes[np.argmax(np.abs(axes), axis=0), np.arange(AXES)]
    components: F64 = axes * np.sign(largest)
    return components


def _turned(axes: F64, tags: npt.NDArray[np.int64], before: TasteMap) -> F64:
    """The axes rotated (or mirrored) to lie as near as can be to those before, by the tags that both know."""
    is_shared = tags < len(before.axes)
    old = before.axes[tags[is_shared]].astype(np.float64)
    if np.count_nonzero(old.any(axis=1)) < AXES:
        return axes
    left, _, right = np.linalg.svd(axes[is_shared].T @ old)
    turned: F64 = axes @ (left @ right)
    return turned


def _companions(baskets: F64, tags: npt.NDArray[np.int64]) -> tuple[I16, F64]:
    """Companions (tags, COMPANIONS) and the logs of their lifts, from whole baskets (people, tags).

    Large baskets hold more of everything: the pairs expected by chance are scaled to as many as there are.
    """
    together = baskets.T @ baskets
    alone = together.diagonal().copy()
    np.fill_diagonal(together, 0.0)
    expected = np.outer(alone, alone)
    np.fill_diagonal(expected, 0.0)
    expected *= together.sum() / max(expected.sum(), 1.0)
    lift = (together + LIFT_PSEUDO_BASKETS) / (expected + LIFT_PSEUDO_BASKETS)
    order = np.argsort(-lift, axis=1, kind="stable")[:, :COMPANIONS]
    best = np.take_along_axis(lift, order, axis=1)
    found = np.full((len(tags), COMPANIONS), -1, np.int16)
    lifts = np.zeros((len(tags), COMPANIONS))
    width = order.shape[1]
    found[:, :width] = np.where(best >= LIFT_MIN, tags[order], -1)
    lifts[:, :width] = np.where(best >= LIFT_MIN, np.log(best), 0.0)
    return found, lifts


def pack(taste_map: TasteMap) -> bytes:
    """As little-endian records by tag id; the version is kept beside them."""
    records = np.zeros(len(taste_map.axes), _KEPT)
    records["axes"], records["companions"] = taste_map.axes, taste_map.companions
    records["lifts"], records["cycle_s"] = taste_map.lifts, taste_map.cycles_s
    return records.tobytes()


def unpack(version: int, data: bytes) -> TasteMap:
    """Reads what `pack` wrote.

    Raises:
        DamagedTasteMapError: the length is not that of records, or a number is not finite.
    """
    if len(data) % _KEPT.itemsize:
        raise DamagedTasteMapError(f"{len(data)} bytes are not records of {_KEPT.itemsize}")
    records = np.frombuffer(data, _KEPT)
    fields = (np.ascontiguousarray(records[name]) for name in ("axes", "companions", "lifts", "cycle_s"))
    taste_map = TasteMap(version, *fields)
    if not all(np.isfinite(part).all() for part in (taste_map.axes, taste_map.lifts, taste_map.cycles_s)):
        raise DamagedTasteMapError("a number that is not finite")
    return taste_map
