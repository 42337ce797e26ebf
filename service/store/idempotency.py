"""Answers kept under an Idempotency-Key, in the same transaction as the effect they tell of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from schema.ids import stable_entropy
from service.errors import ApiError
from service.store import pieces

KEPT_FOR: Final = timedelta(hours=24)

# The lock is tried in a statement of its own: the next one must see what its last holder committed.
_LOCK: Final = "select pg_try_advisory_xact_lock($1)"
_FIND: Final = """
    select request_sha256, status, answer from idempotency_keys
     where key_id = $1 and user_external_id = $2 and idempotency_key = $3
"""
_KEEP: Final = """
    insert into idempotency_keys (key_id, user_external_id, idempotency_key, request_sha256, status, answer, created_at)
    values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing returning 1
"""
_PURGE: Final = """
    delete from idempotency_keys where ctid = any (array(
        select ctid from idempotency_keys where created_at < $1 order by created_at limit $2))
"""


class Attempt(NamedTuple):
    """One try of a request: whose, under which Idempotency-Key (None: the client sent none), and what it asks for.

    A key is its owner's alone: of the user that a user token names (None: no token), else of the API key.
    """

    key_id: UUID
    user_external_id: str | None
    idempotency_key: str | None
    request_sha256: bytes


class Answer(NamedTuple):
    """An answer of success as it was sent."""

    status: int
    body: bytes


class Once:
    """An open transaction: `kept` is the answer of an earlier try; without one, act on `connection` and `keep` the answer."""

    def __init__(self, connection: Any, attempt: Attempt, now: datetime, kept: Answer | None) -> None:
        self.connection = connection
        self.kept = kept
        self._attempt = attempt
        self._now = now

    async def keep(self, answer: Answer) -> None:
        """Stores the answer for a next try; without an Idempotency-Key nothing."""
        if self._attempt.idempotency_key is not None and not await _insert(
            self.connection, self._attempt, answer, self._now
        ):
            raise _reused()  # by a decision, which takes no lock


@asynccontextmanager
async def once(pool: Any, attempt: Attempt, now: datetime) -> AsyncIterator[Once]:
    """A transaction in which an attempt acts at most once; an exception undoes the effect and keeps nothing.

    Raises ApiError 409 idempotency_key_in_flight while another try runs (its lock goes with its transaction, also when
    its process dies), and 422 idempotency_key_reused when the key came with another request.
    """
    async with pool.acquire() as connection, connection.transaction():
        kept = None if attempt.idempotency_key is None else await _kept(connection, attempt)
        yield Once(connection, attempt, now, kept)


async def _kept(connection: Any, attempt: Attempt) -> Answer | None:
    scope = (attempt.key_id.bytes, (attempt.user_external_id or "").encode(), str(attempt.idempotency_key).encode())
    lock = stable_entropy(b"idempotency", *scope)
    if not await connection.fetchval(_LOCK, int.from_bytes(lock[:8], signed=True)):
        raise ApiError(
            409, "idempotency_key_in_flight", "A request with this Idempotency-Key is being worked on.", retry_after_s=1
        )
    return await find(connection, attempt)


async def find(connection: Any, attempt: Attempt) -> Answer | None:
    """The answer that is kept for an attempt with an Idempotency-Key. Raises ApiError 422 when it came with another request."""
    row = await connection.fetchrow(_FIND, attempt.key_id, attempt.user_external_id or "", attempt.idempotency_key)
    if row is None:
        return None
    if row["request_sha256"] != attempt.request_sha256:
        raise _reused()
    return Answer(row["status"], row["answer"])


async def keep_first(connection: Any, attempt: Attempt, answer: Answer, now: datetime) -> Answer | None:
    """Keeps an answer unless there is one already: then gives that one, which is to be sent. Raises ApiError 422 as `find`."""
    return None if await _insert(connection, attempt, answer, now) else await find(connection, attempt)


async def _insert(connection: Any, attempt: Attempt, answer: Answer, now: datetime) -> bool:
    key_id, user, idempotency_key, request_sha256 = attempt
    kept = await connection.fetchval(_KEEP, key_id, user or "", idempotency_key, request_sha256, *answer, now)
    return kept is not None


def _reused() -> ApiError:
    return ApiError(422, "idempotency_key_reused", "This Idempotency-Key came with another request before.")


async def purge(connection: Any, now: datetime) -> None:
    """Deletes the answers that are older than a day. The caller must not be in a transaction."""
    await pieces.delete(connection, _PURGE, now - KEPT_FOR, pieces.ROWS)
