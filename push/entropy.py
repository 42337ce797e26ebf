"""The random bits of pushes: hashes of (seed, campaign, occurrence, person), the same whenever one is planned again."""

import hashlib
from collections.abc import Callable
from datetime import datetime

import numpy as np
import numpy.typing as npt
import xxhash

from schema.campaign import StoredCampaign
from schema.ids import PARTITIONS, framed, stable_entropy

Bytes = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]


def entropy_of(seed: bytes, campaign: StoredCampaign, occurrence: datetime, user_id: int) -> bytes:
    """Sixteen random bytes of one push."""
    return stable_entropy(*_common(seed, campaign, occurrence), user_id.to_bytes(8, "little"))


def entropy_by(seed: bytes, campaign: StoredCampaign, occurrence: datetime) -> Callable[[int], bytes]:
    """entropy_of by user id, for one person after the other."""
    before = framed(*_common(seed, campaign, occurrence), bytes(8))[:-8]
    return lambda user_id: bytes(xxhash.xxh3_128_digest(before + user_id.to_bytes(8, "little")))


def entropies_of(seed: bytes, campaign: StoredCampaign, occurrence: datetime, user_ids: I64) -> Bytes:
    """entropy_of for many people, (people, 16)."""
    last = framed(*_common(seed, campaign, occurrence), bytes(8))
    texts = np.tile(np.frombuffer(last, np.uint8), (len(user_ids), 1))
    texts[:, -8:] = user_ids.astype("<i8").view(np.uint8).reshape(-1, 8)
    digests = b"".join(map(xxhash.xxh3_128_digest, _rows(texts)))
    return np.frombuffer(digests, np.uint8).reshape(-1, 16)


def uniforms_of(entropies: Bytes) -> F64:
    """A number in (0, 1) of each of (people, 16) entropies: 52 bits and a half, so that neither end can be reached by rounding."""
    hashes = b"".join([hashlib.blake2b(entropy, digest_size=8).digest() for entropy in _rows(entropies)])
    return ((np.frombuffer(hashes, ">u8") >> np.uint64(12)).astype(np.float64) + 0.5) / (1 << 52)


def partitions_of(user_ids: I64) -> I64:
    """schema.ids.partition_of for many people."""
    keys = user_ids.astype("<i8").view(np.uint8).reshape(-1, 8)
    hashes = np.fromiter(map(xxhash.xxh3_64_intdigest, _rows(keys)), np.uint64, len(user_ids))
    return (hashes % np.uint64(PARTITIONS)).astype(np.int64)


def _common(seed: bytes, campaign: StoredCampaign, occurrence: datetime) -> tuple[bytes, bytes, bytes]:
    return seed, campaign.campaign.campaign_id.encode(), occurrence.isoformat().encode()


def _rows(texts: Bytes) -> list[bytes]:
    """Each row of (people, bytes) as bytes."""
    rows: list[bytes] = np.ascontiguousarray(texts).view(f"V{texts.shape[1]}").ravel().tolist()
    return rows
