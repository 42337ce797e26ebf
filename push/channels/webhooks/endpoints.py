"""Endpoints of webhooks in PostgreSQL: where they are, what they are signed with (sealed), and whether they rest after failures."""

import base64
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from schema.discreet import shown_without

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
OLD_SECRET_FOR: Final = timedelta(hours=24)
"""How long the secret before the last one still signs too, so that a receiver can change at its leisure."""

REST_AFTER: Final = 3
"""Batches in a row of which nothing was taken."""

REST_FIRST_S: Final = 10.0
REST_MAX_S: Final = 900.0

_MAKE: Final = """
    insert into webhooks (webhook_id, url, secret, created_at, created_by) values ($1, $2, $3, $4, $5)
    on conflict do nothing returning webhook_id
"""
_COLUMNS: Final = """
    select webhook_id, url, created_at, created_by, is_paused, failures, rests_until from webhooks
     where webhook_id > $1 order by webhook_id limit $2
"""
_ONE: Final = "select webhook_id, url, created_at, created_by, is_paused, failures, rests_until from webhooks where webhook_id = $1"
_CHANGE: Final = """
    update webhooks set url = coalesce($2, url), is_paused = coalesce($3, is_paused), failures = 0, rests_until = null
     where webhook_id = $1
    returning webhook_id, url, created_at, created_by, is_paused, failures, rests_until
"""
_ROTATE: Final = """
    update webhooks set old_secret = secret, old_secret_until = $3, secret = $2 where webhook_id = $1
    returning webhook_id, url, created_at, created_by, is_paused, failures, rests_until
"""
_DELETE: Final = "delete from webhooks where webhook_id = $1 returning webhook_id"
_WITHDRAW: Final = """
    update deliveries set state = 6, outcome = 'endpoint_gone', settled_at = $2 where channel = 2 and endpoint = $1 and state = 1
"""
_NAMES: Final = "select webhook_id from webhooks order by webhook_id"
_SECRETS: Final = """
    select webhook_id, url, secret, case when old_secret_until > $2 then old_secret end from webhooks
     where webhook_id = any ($1::text[])
"""
_TAKEN: Final = """
    update webhooks set failures = 0, rests_until = null where webhook_id = any ($1::text[]) and failures > 0
"""
# A long row of failures makes a long rest; all nodes rest together.
_FAILED: Final = """
    update webhooks w
       set failures = w.failures + 1,
           rests_until = greatest(w.rests_until, $3::timestamptz + make_interval(secs => greatest(t.seconds,
               case when w.failures + 1 >= $4::integer then least($5::float8 * 2 ^ least(w.failures + 1 - $4, 20), $6::float8) else 0 end)))
      from unnest($1::text[], $2::float8[]) as t(webhook_id, seconds)
     where w.webhook_id = t.webhook_id
"""
_PAUSE: Final = "update webhooks set is_paused = true where webhook_id = any ($1::text[])"


class Endpoint(NamedTuple):
    """An endpoint without its secret; `rests_until` lies ahead while it is left alone after failures."""

    webhook_id: str
    url: str
    created_at: datetime
    created_by: str
    is_paused: bool
    failures: int
    rests_until: datetime | None

    def __repr__(self) -> str:
        return shown_without(self, "url")


class Signed(NamedTuple):
    """Where an endpoint is and what it is signed with: not to be logged."""

    webhook_id: str
    url: str
    secret: str
    old_secret: str | None

    def __repr__(self) -> str:
        return f"Signed({self.webhook_id!r})"


def new_secret() -> str:
    """A secret of the Standard Webhooks form."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


async def make(connection: Any, webhook_id: str, url: str, secret: str, now: datetime, by: str) -> bool:
    """Stores a new endpoint; False when its name is taken."""
    return await connection.fetchval(_MAKE, webhook_id, url, secret, now, by) is not None


async def read(connection: Any, webhook_id: str) -> Endpoint | None:
    """One endpoint by its name."""
    return _endpoint(await connection.fetchrow(_ONE, webhook_id))


async def page(connection: Any, after: str, limit: int) -> list[Endpoint]:
    """Endpoints by name, after the given one."""
    return [Endpoint(*row) for row in await connection.fetch(_COLUMNS, after, limit)]


async def change(connection: Any, webhook_id: str, url: str | None, *, is_paused: bool | None) -> Endpoint | None:
    """Changes what is not None, and ends a rest; None when there is no such endpoint."""
    return _endpoint(await connection.fetchrow(_CHANGE, webhook_id, url, is_paused))


async def rotate(connection: Any, webhook_id: str, secret: str, now: datetime) -> Endpoint | None:
    """Signs by another secret from now on, and by the one before for a day; None when there is no such endpoint."""
    return _endpoint(await connection.fetchrow(_ROTATE, webhook_id, secret, now + OLD_SECRET_FOR))


async def delete(connection: Any, webhook_id: str, now: datetime) -> bool:
    """Deletes an endpoint and withdraws what waits for it, in the caller's transaction; False when there is none."""
    if await connection.fetchval(_DELETE, webhook_id) is None:
        return False
    await connection.execute(_WITHDRAW, webhook_id, now)
    return True


async def names(connection: Any) -> list[str]:
    """All names."""
    return [row[0] for row in await connection.fetch(_NAMES)]


async def signed(connection: Any, webhook_ids: Collection[str], now: datetime) -> dict[str, Signed]:
    """Where to send and what to sign with, as it is now; what was deleted is missing."""
    return {row[0]: Signed(*row) for row in await connection.fetch(_SECRETS, list(webhook_ids), now)}


async def heed(
    connection: Any, taken: Collection[str], failed: dict[str, float], gone: Collection[str], now: datetime
) -> None:
    """Notes after a batch which endpoints took something, which took nothing (and for how many seconds they asked us to wait), and which
    said that they are gone: those are paused until somebody looks.
    """
    if taken:
        await connection.execute(_TAKEN, sorted(taken))
    if failed:
        limits = (REST_AFTER, REST_FIRST_S, REST_MAX_S)
        await connection.execute(_FAILED, sorted(failed), [failed[name] for name in sorted(failed)], now, *limits)
    if gone:
        await connection.execute(_PAUSE, sorted(gone))


def _endpoint(row: Any) -> Endpoint | None:
    return None if row is None else Endpoint(*row)
