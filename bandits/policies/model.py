"""A snapshot made ready to decide: float32 arrays that were checked once."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bandits import features
from bandits.kernels import symmetric
from bandits.rhythm import HOURS
from schema.snapshot import HEADS, Snapshot

F32 = npt.NDArray[np.float32]


class DamagedSnapshotError(ValueError):
    """A snapshot that must not be used: another feature set, a wrong shape, a number that is not finite, a variance or share below 0."""


class Model(NamedTuple):
    """Posterior means (heads, d), covariances (heads, d, d), popularity of tags (tags,) and of the hours of the week (168,)."""

    version: int
    published_at_s: float
    means: F32
    covariances: F32
    tag_shares: F32
    hour_shares: F32


def from_snapshot(snapshot: Snapshot) -> Model:
    """Unpacks and checks a snapshot.

    Raises:
        DamagedSnapshotError: it must not be used; the message says why.
    """
    dims = features.DIMS
    if snapshot.feature_set != features.FEATURE_SET:
        raise DamagedSnapshotError(f"feature set {snapshot.feature_set}, this program knows {features.FEATURE_SET}")
    if len(snapshot.heads) != len(HEADS):
        raise DamagedSnapshotError(f"{len(snapshot.heads)} heads instead of {len(HEADS)}")
    means = np.stack([_floats(head.mean, dims, "mean") for head in snapshot.heads])
    packed = [_floats(head.covariance, dims * (dims + 1) // 2, "covariance") for head in snapshot.heads]
    covariances = np.stack([_full(part, dims) for part in packed])
    if (np.diagonal(covariances, axis1=1, axis2=2) <= 0.0).any():
        raise DamagedSnapshotError("a variance is not positive")
    hour_shares = _floats(snapshot.hour_shares, HOURS, "hour_shares")
    tag_shares = _floats(snapshot.tag_shares, len(snapshot.tag_shares) // 4, "tag_shares")
    for name, shares in (("hour_shares", hour_shares), ("tag_shares", tag_shares)):
        if (shares < 0.0).any():
            raise DamagedSnapshotError(f"{name} holds a negative share")
    return Model(snapshot.version, snapshot.published_at_s, means, covariances, tag_shares, hour_shares)


def _floats(data: bytes, size: int, name: str) -> F32:
    if len(data) != 4 * size:
        raise DamagedSnapshotError(f"{name} has {len(data)} bytes instead of {4 * size}")
    values = np.frombuffer(data, "<f4").astype(np.float32)
    if not np.isfinite(values).all():
        raise DamagedSnapshotError(f"{name} holds a number that is not finite")
    return values


def _full(packed: F32, dims: int) -> F32:
    full = np.empty((dims, dims))
    symmetric.unpack(packed.astype(np.float64), full)
    return full.astype(np.float32)
