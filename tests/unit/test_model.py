"""A snapshot that must not be used is refused, each for its own reason."""

import math
import struct

import msgspec
import numpy as np
import pytest

from bandits import taste_map
from bandits.features import DIMS, FEATURE_SET, LINK, PRIORS
from bandits.policies.model import DamagedSnapshotError, from_snapshot, with_map
from schema.snapshot import HeadSnapshot, Snapshot

TRIANGLE = DIMS * (DIMS + 1) // 2


def packed(values: np.ndarray) -> bytes:
    return values.astype("<f4").tobytes()


def head(place: int) -> HeadSnapshot:
    covariance = np.diag(1.0 / PRIORS[place].precision)[np.triu_indices(DIMS)]
    return HeadSnapshot(
        mean=packed(PRIORS[place].mean), covariance=packed(covariance), dispersion=0.5, arrived=[1.0], exposures=0.0
    )


SOUND = Snapshot(
    version=3,
    published_at_s=1.0,
    feature_set=FEATURE_SET,
    heads=[head(0), head(1)],
    tag_shares=packed(np.array([0.0, 0.5])),
    hour_shares=packed(np.full(168, 1 / 168)),
    baskets=1.0,
    offsets=[0] * 64,
    link=LINK,
)


def broken(field: str, value: bytes | float) -> Snapshot:
    return msgspec.structs.replace(SOUND, heads=[msgspec.structs.replace(SOUND.heads[0], **{field: value}), head(1)])


def with_number(data: bytes, place: int, number: float) -> bytes:
    return data[: 4 * place] + struct.pack("<f", number) + data[4 * place + 4 :]


def test_a_sound_snapshot_is_unpacked() -> None:
    model = from_snapshot(SOUND)
    assert model.version == 3
    assert model.means == pytest.approx(np.stack([prior.mean for prior in PRIORS]))
    assert model.factors[1] @ model.factors[1].T == pytest.approx(np.diag(1.0 / PRIORS[1].precision))
    assert model.tag_shares.tolist() == model.recent_shares.tolist() == [0.0, 0.5]
    assert (model.link, model.dispersions.tolist(), model.taste_map_version) == (LINK, [0.5, 0.5], 0)


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (msgspec.structs.replace(SOUND, feature_set=FEATURE_SET + 1), "feature set"),
        (msgspec.structs.replace(SOUND, heads=[head(0)]), "1 heads"),
        (msgspec.structs.replace(SOUND, tag_shares=b"12345"), "tag_shares has 5 bytes"),
        (msgspec.structs.replace(SOUND, hour_shares=bytes(4 * 167)), "hour_shares has 668 bytes"),
        (msgspec.structs.replace(SOUND, tag_shares=struct.pack("<f", -0.1)), "tag_shares holds a negative"),
        (
            msgspec.structs.replace(SOUND, tag_shares=struct.pack("<f", math.inf)),
            "tag_shares holds a number that is not",
        ),
        (msgspec.structs.replace(SOUND, recent_shares=bytes(12)), "recent_shares has 12 bytes"),
        (msgspec.structs.replace(SOUND, recent_shares=struct.pack("<2f", 0.1, -0.1)), "recent_shares holds a negative"),
        (msgspec.structs.replace(SOUND, personal_variances=[0.1, -0.1]), "personal variance"),
        (msgspec.structs.replace(SOUND, personal_variances=[0.1, 0.0]), "personal variance"),
        (msgspec.structs.replace(SOUND, personal_variances=[0.1]), "1 personal variances"),
        (msgspec.structs.replace(SOUND, personal_variances=[math.nan]), "personal variance"),
        (broken("dispersion", 0.0), "dispersion is not positive"),
        (broken("dispersion", math.nan), "dispersion is not positive"),
        (broken("mean", bytes(4 * DIMS + 4)), "mean has"),
        (broken("mean", with_number(SOUND.heads[0].mean, 2, math.nan)), "mean holds a number that is not"),
        (broken("covariance", bytes(4 * TRIANGLE - 4)), "covariance has"),
        (broken("covariance", with_number(SOUND.heads[0].covariance, 1, math.inf)), "covariance holds"),
        (broken("covariance", with_number(SOUND.heads[0].covariance, 1, 1e3)), "not positive definite"),
        (broken("covariance", with_number(SOUND.heads[0].covariance, 0, -1e-6)), "not positive definite"),
        (broken("covariance", with_number(SOUND.heads[0].covariance, TRIANGLE - 1, 0.0)), "not positive definite"),
    ],
)
def test_a_damaged_one_is_refused(damaged: Snapshot, reason: str) -> None:
    with pytest.raises(DamagedSnapshotError, match=reason):
        from_snapshot(damaged)


def test_a_model_takes_only_its_own_map() -> None:
    model = from_snapshot(msgspec.structs.replace(SOUND, taste_map=2))
    assert model.taste_map.version == 0
    known = taste_map.empty(2, tags=3)
    assert with_map(model, known).taste_map is known
    with pytest.raises(DamagedSnapshotError, match="map of tastes 1"):
        with_map(model, taste_map.empty(1))
