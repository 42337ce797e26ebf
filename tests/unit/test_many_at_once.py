"""What is made for many people at once is, for each, what is made for one."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import numpy as np
import pytest

from bandits.kernels.random import key_from_bytes, keys_from_bytes
from push import uuids
from push.drawing import feedback_token
from push.uuids import texts_of, uuid7s
from schema.ids import uuid7
from service.decision.groups import group_of, groups_of

NOW = datetime(2026, 3, 2, 9, 30, 0, 123_000, tzinfo=UTC)
USERS = np.array([1, 2, 77, 2**40 + 5, 2**62], np.int64)
RANDOM = np.random.default_rng(4).integers(0, 256, (200, 16), np.uint8)


def test_ids_and_their_texts() -> None:
    ids = uuid7s(NOW, RANDOM)
    assert [UUID(bytes=one.tobytes()) for one in ids] == [uuid7(NOW, one.tobytes()) for one in RANDOM]
    assert texts_of(ids) == [str(UUID(bytes=one.tobytes())) for one in ids]
    assert texts_of(RANDOM[:0]) == []


def test_an_id_of_the_drivers_kind_is_the_same_id() -> None:
    for entropy in RANDOM[:50].tolist():
        plain, made = uuid7(NOW, bytes(entropy)), uuids.uuid7(NOW, bytes(entropy))
        assert made == plain
        assert plain == made
        assert {plain: "one"}[made] == "one"
        assert isinstance(made, UUID)
        assert (str(made), made.bytes, made.int) == (str(plain), plain.bytes, plain.int)
        assert msgspec.json.encode(made) == msgspec.json.encode(plain)
        assert msgspec.msgpack.encode(made) == msgspec.msgpack.encode(plain)


def test_keys() -> None:
    assert keys_from_bytes(RANDOM).tolist() == [key_from_bytes(one.tobytes()) for one in RANDOM]


@pytest.mark.parametrize("key", [b"key", bytes(range(64)), bytes(range(65))])
def test_feedback_tokens(key: bytes) -> None:
    ids = RANDOM[: len(USERS)]
    until_s = int(NOW.timestamp())
    alone = [
        feedback_token.sign(key, UUID(bytes=one.tobytes()), user_id, until_s)
        for one, user_id in zip(ids, USERS.tolist(), strict=True)
    ]
    assert [token.decode() for token in feedback_token.sign_many(key, ids, USERS, until_s)] == alone


def test_groups() -> None:
    users = np.arange(1, 2_000)
    for shares in ((0.1, 0.2), (0.0, 0.3), (0.5, 0.0), (1.0, 1.0)):
        in_holdout, in_control = groups_of(users, *shares)
        told = np.where(in_holdout, "holdout", np.where(in_control, "control", "treated"))
        assert told.tolist() == [group_of(user_id, *shares) for user_id in users.tolist()]
