"""What the command line does in the database, on a connection of its own."""

import os
import pwd
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import asyncpg

from schema.access import Key, Scope
from schema.ids import uuid7
from service.settings import Secret
from service.store import access, audit, migrate, pool, virtual_clock

T = TypeVar("T")


async def on_connection(dsn: str, work: Callable[[Any], Awaitable[T]]) -> T:
    """Brings the database up to date, then calls `work` with a connection."""
    await migrate.migrate(dsn)
    connection = await asyncpg.connect(dsn)
    try:
        await pool.prepare(connection)
        await audit.speak(connection, operator(), for_good=True)
        return await work(connection)
    finally:
        await connection.close()


def operator() -> str:
    """Who works at the command line, for what is recorded."""
    try:
        return f"command line, {pwd.getpwuid(os.geteuid()).pw_name}"
    except KeyError:  # a container may run as a number that has no name
        return f"command line, uid {os.geteuid()}"


async def present(connection: Any) -> datetime:
    """Now, as this installation sees it: one that was served with a virtual clock (a demo) lives at the time that shows."""
    virtual = await virtual_clock.read(connection)
    return datetime.now(UTC) if virtual is None else virtual.now_at


async def create_key(dsn: str, scopes: Sequence[Scope]) -> tuple[Key, str]:
    """Makes a key, secret with scopes and publishable without; the key and its secret text."""
    now = datetime.now(UTC)
    secret = access.new_secret("sk" if scopes else "pk")

    async def work(connection: Any) -> Key:
        key_id = uuid7(now, os.urandom(10))
        return await access.create_key(
            connection, key_id, "sk" if scopes else "pk", scopes, secret=Secret(secret), now=now
        )

    return await on_connection(dsn, work), secret
