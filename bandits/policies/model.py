"""A snapshot made ready to decide: float32 arrays that were checked once."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits import features, personal, taste_map
from bandits.kernels import symmetric
from bandits.posterior import Posterior
from bandits.rhythm import HOURS
from bandits.taste_map import TasteMap
from schema.snapshot import HEADS, HeadSnapshot, Link, Snapshot

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


NO_MAP: Final = taste_map.empty()


class DamagedSnapshotError(ValueError):
    """A snapshot that must not be used: another feature set, a wrong shape, a number that is not finite, a variance or share below 0."""


class Model(NamedTuple):
    """A snapshot as arrays.

    Posterior means (heads, d), lower Cholesky factors of the covariances (heads, d, d), dispersions (heads,); popularity of tags, also in
    the last weeks (tags,), and of the hours of the week (168,); prior variances of the personal layer's blocks (blocks,), none without a
    personal layer; the version of the map of tastes, 0 without one, and the map itself once it has been loaded (`with_map`).
    """

    version: int
    published_at_s: float
    means: F32
    factors: F32
    tag_shares: F32
    hour_shares: F32
    link: Link
    dispersions: F32
    recent_shares: F32
    personal_variances: F32
    taste_map_version: int
    taste_map: TasteMap = NO_MAP


def from_snapshot(snapshot: Snapshot) -> Model:
    """Unpacks and checks a snapshot.

    Raises:
        DamagedSnapshotError: it must not be used; the message says why.
    """
    if snapshot.feature_set != features.FEATURE_SET:
        raise DamagedSnapshotError(f"feature set {snapshot.feature_set}, this program knows {features.FEATURE_SET}")
    if len(snapshot.heads) != len(HEADS):
        raise DamagedSnapshotError(f"{len(snapshot.heads)} heads instead of {len(HEADS)}")
    dispersions = _float32([head.dispersion for head in snapshot.heads])
    if not (np.isfinite(dispersions) & (dispersions > 0.0)).all():
        raise DamagedSnapshotError("a dispersion is not positive")
    hour_shares = _shares(snapshot.hour_shares, HOURS, "hour_shares")
    tag_shares = _shares(snapshot.tag_shares, len(snapshot.tag_shares) // 4, "tag_shares")
    recent_shares = (
        _shares(snapshot.recent_shares, len(tag_shares), "recent_shares") if snapshot.recent_shares else tag_shares
    )
    return Model(
        version=snapshot.version,
        published_at_s=snapshot.published_at_s,
        means=np.stack([_floats(head.mean, features.DIMS, "mean") for head in snapshot.heads]),
        factors=np.stack([_factor(_covariance(head.covariance, features.DIMS)) for head in snapshot.heads]).astype(
            np.float32
        ),
        tag_shares=tag_shares,
        hour_shares=hour_shares,
        link=snapshot.link,
        dispersions=dispersions,
        recent_shares=recent_shares,
        personal_variances=_variances(snapshot.personal_variances),
        taste_map_version=snapshot.taste_map,
    )


def head_of(one: Posterior, mode: F64) -> HeadSnapshot:
    """A head of a snapshot, as `from_snapshot` reads it; mode (d,) is that of the epoch the posterior was composed in."""
    packed = np.empty(len(one.mean) * (len(one.mean) + 1) // 2)
    symmetric.pack(one.covariance, packed)
    return HeadSnapshot(
        mean=one.mean.astype("<f4").tobytes(),
        covariance=packed.astype("<f4").tobytes(),
        dispersion=one.dispersion,
        arrived=one.arrived.tolist(),
        exposures=one.exposures,
        mode=mode.astype("<f4").tobytes(),
    )


def with_map(model: Model, known: TasteMap) -> Model:
    """The model with its map of tastes.

    Raises:
        DamagedSnapshotError: it is not the map the snapshot refers to.
    """
    if known.version != model.taste_map_version:
        raise DamagedSnapshotError(f"map of tastes {known.version} instead of {model.taste_map_version}")
    return model._replace(taste_map=known)


def _float32(given: list[float]) -> F32:
    """What is too large becomes infinite, and is refused as that."""
    with np.errstate(over="ignore"):
        return np.array(given, np.float32)


def _floats(data: bytes, size: int, name: str) -> F32:
    if len(data) != 4 * size:
        raise DamagedSnapshotError(f"{name} has {len(data)} bytes instead of {4 * size}")
    values = np.frombuffer(data, "<f4").astype(np.float32)
    if not np.isfinite(values).all():
        raise DamagedSnapshotError(f"{name} holds a number that is not finite")
    return values


def _shares(data: bytes, size: int, name: str) -> F32:
    shares = _floats(data, size, name)
    if (shares < 0.0).any():
        raise DamagedSnapshotError(f"{name} holds a negative share")
    return shares


def _variances(given: list[float]) -> F32:
    variances = _float32(given)
    if not (np.isfinite(variances) & (variances > 0.0)).all():
        raise DamagedSnapshotError("a personal variance is not positive")
    if len(variances) not in {0, len(personal.BLOCKS)}:
        raise DamagedSnapshotError(f"{len(variances)} personal variances instead of {len(personal.BLOCKS)}")
    return variances


def _covariance(data: bytes, dims: int) -> F64:
    packed = _floats(data, dims * (dims + 1) // 2, "covariance")
    full = np.empty((dims, dims))
    symmetric.unpack(packed.astype(np.float64), full)
    return full


def _factor(covariance: F64) -> F64:
    try:
        return np.linalg.cholesky(covariance).astype(np.float64)
    except np.linalg.LinAlgError:
        raise DamagedSnapshotError("a covariance is not positive definite") from None
