"""People's e-mail addresses in PostgreSQL: in a table of their own that nothing else reads, never logged, shown masked."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

_PUT: Final = """
    insert into email_addresses (user_id, address, updated_at) values ($1, $2, $3)
    on conflict (user_id) do update set address = excluded.address, updated_at = excluded.updated_at
"""
_READ: Final = "select address from email_addresses where user_id = $1"
_DELETE: Final = "delete from email_addresses where user_id = $1"
_REACHABLE: Final = """
    select e.user_id from email_addresses e join users u using (user_id) where e.user_id = any ($1::bigint[]) and u.has_email_consent
"""
# One that was told again since it was used is another address, whatever its text.
_FORGET: Final = """
    delete from email_addresses e using unnest($1::bigint[], $2::text[]) as t(user_id, address)
     where e.user_id = t.user_id and e.address = t.address and e.updated_at < $3
"""
_WITHDRAW: Final = """
    update users set version = version + 1, has_email_consent = false
     where user_id = (select coalesce(merged_into, user_id) from users where user_id = $1) and has_email_consent is distinct from false
"""
_MOVE: Final = """
    update email_addresses e set user_id = $1
     where e.user_id = $2 and not exists (select 1 from email_addresses k where k.user_id = $1)
"""


async def put(connection: Any, user_id: int, address: str, now: datetime) -> None:
    """The address of a person from now on."""
    await connection.execute(_PUT, user_id, address, now)


async def read(connection: Any, user_id: int) -> str | None:
    """A person's address; None when none is known."""
    return await connection.fetchval(_READ, user_id)  # type: ignore[no-any-return] # asyncpg is untyped


async def delete(connection: Any, user_id: int) -> None:
    """Forgets a person's address."""
    await connection.execute(_DELETE, user_id)


async def reachable(connection: Any, user_ids: Collection[int]) -> set[int]:
    """Those of these people who have an address and have consented to e-mail."""
    return {row[0] for row in await connection.fetch(_REACHABLE, list(user_ids))}


async def forget(connection: Any, dead: Collection[tuple[int, str]], sent_at: datetime) -> None:
    """Deletes addresses of which the server said that there is no such mailbox: user id and address of each."""
    if dead:
        ordered = sorted(dead)
        await connection.execute(_FORGET, [one[0] for one in ordered], [one[1] for one in ordered], sent_at)


async def withdraw(connection: Any, user_id: int) -> None:
    """Withdraws a person's consent to e-mail, also of somebody who was merged since."""
    await connection.execute(_WITHDRAW, user_id)


async def move(connection: Any, kept: int, lost: int) -> None:
    """Gives a user's address to the one they are merged into, if that one has none."""
    await connection.execute(_MOVE, kept, lost)
    await connection.execute(_DELETE, lost)
