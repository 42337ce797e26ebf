"""What a draw needs of people besides: tastes, sums of their own, and rows of the outbox that are due."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bandits import personal
from bandits.kernels.personal import OUTER
from bandits.kernels.personal import SIZE as SUMS
from bandits.kernels.tastes import ENTRY, HEADER
from bandits.tastes import VERSION
from push import copy_format, outbox_days
from push.contact import contacts
from schema.contact_rules import ContactRules
from service.planning import plan_bench_world
from service.planning.plan_bench_world import BLOCK, OFFERS, SEED, STARTS_AT

NOW: Final = datetime(2026, 3, 3, 11, tzinfo=UTC)
_OCCURRENCE: Final = STARTS_AT.replace(tzinfo=UTC)
TAGS: Final = 20
"""That a person has bought; half as many again as an offer has carry none."""

_TASTES: Final = np.dtype([("header", HEADER), ("entries", ENTRY, (TAGS,))])
_SUMS: Final = np.dtype([("head", "V4"), ("sums", "<f4", (SUMS,))])
_STATE: Final = copy_format.layout(
    [
        ("user_id", ">i8"),
        ("tastes", f"V{_TASTES.itemsize}"),
        ("rhythm", "V0"),
        ("updated_at", ">i8"),
        ("personal", f"V{personal.BYTES}"),
    ]
)
# Spread over the last hour, as their moments lie anywhere in it.
_DUE: Final = """
    insert into outbox (user_id, campaign_id, occurrence_at, channel, outbox_id, bucket, state, send_at, send_until, expires_at,
                        moment_propensity)
    select u.user_id, c.campaign_id, $1, 1, gen_random_uuid(), u.user_id % 64, 0, $2::timestamptz - u.user_id * 7919 % 3600 * interval '1 s',
           $3, $3, 0.01
      from users u cross join campaigns c where u.has_push_consent
"""


async def fill(connection: Any, people: int) -> None:
    """The world of planning, where everybody has tastes and sums of their own, and nobody's hours are quiet."""
    await plan_bench_world.fill(connection, people)
    await connection.execute("truncate user_state")
    given = {"columns": copy_format.columns_of(_STATE), "format": "binary", "timeout": 600}
    await connection.copy_to_table("user_state", source=_states(people), **given)
    async with connection.transaction():
        await contacts.put(connection, ContactRules(quiet_hours=[]), NOW, "bench")
    for statement in ("checkpoint", "vacuum (analyze) user_state"):  # as in the world of planning
        await connection.execute(statement, timeout=600)


async def plan(connection: Any) -> int:
    """Everybody who consents is due at NOW, and nothing has been drawn; how many they are."""
    await connection.execute("truncate outbox, decisions, contacts")
    async with connection.transaction():
        await outbox_days.ensure(connection, [_OCCURRENCE])
    done = await connection.execute(_DUE, _OCCURRENCE, NOW, NOW + timedelta(hours=6), timeout=600)
    for statement in ("checkpoint", "vacuum (analyze) outbox", "checkpoint"):
        await connection.execute(statement, timeout=600)
    return int(done.rpartition(" ")[2])


async def _states(people: int) -> AsyncIterator[bytes]:
    yield copy_format.HEADER
    for first in range(1, people + 1, BLOCK):
        user_ids = np.arange(first, min(first + BLOCK, people + 1))
        rows = copy_format.blank(_STATE, len(user_ids))
        rows["user_id"] = user_ids
        rows["tastes"] = tastes(user_ids).view(rows["tastes"].dtype)
        rows["personal"] = sums(user_ids).view(rows["personal"].dtype)
        rows["updated_at"] = copy_format.microseconds(NOW)
        yield rows.tobytes()
    yield copy_format.TRAILER


def tastes(user_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.void]:
    """Packed tastes, (people,): some weeks of baskets with TAGS of the tags there are."""
    rng, people, now_s = np.random.default_rng((SEED, 1, int(user_ids[0]))), len(user_ids), int(NOW.timestamp())
    shape = (people, TAGS)
    packed = np.zeros(people, _TASTES)
    header, entries = packed["header"], packed["entries"]
    header["version"], header["entries"], header["as_of_s"] = VERSION, TAGS, now_s - 90_000
    header["known_since_s"], header["last_basket_s"] = now_s - 100 * 86_400, now_s - 100_000
    header["baskets"], header["pushed"] = rng.uniform(1.0, 20.0, people), rng.integers(0, 3, people)
    entries["tag_id"] = np.sort(np.argsort(rng.random((people, OFFERS + OFFERS // 5)), axis=1)[:, :TAGS], axis=1)
    entries["bought"], entries["bought_s"] = (
        rng.uniform(0.0, 4.0, shape),
        now_s - rng.integers(100_000, 5_000_000, shape),
    )
    entries["shown"], entries["shown_s"] = (
        rng.integers(0, 2_000, shape),
        now_s - rng.integers(100_000, 2_000_000, shape),
    )
    return packed


def sums(user_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.void]:
    """Packed sums of people's own parts, (people,)."""
    rng, dims = np.random.default_rng((SEED, 2, int(user_ids[0]))), personal.DIMS
    outer = np.zeros((len(user_ids), dims, dims), np.float32)
    outer[:, np.arange(dims), np.arange(dims)] = rng.uniform(0.0, 3.0, (len(user_ids), dims))
    packed = np.zeros(len(user_ids), _SUMS)
    own = personal.Personal()
    own.period = int(NOW.timestamp() // personal.HALF_LIFE_S)
    packed["head"] = np.frombuffer(own.pack()[:4], "V4")
    packed["sums"][:, :OUTER] = outer[:, *np.triu_indices(dims)]
    packed["sums"][:, OUTER:] = rng.normal(0.0, 0.3, (len(user_ids), dims))
    return packed
