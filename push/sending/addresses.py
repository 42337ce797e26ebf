"""Addresses that turned out to be dead, or to belong to another Firebase project."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from push.sending.settlement import Place

# One that has been registered again since it was used is another address, whatever its text.
_FORGET: Final = """
    delete from devices d using unnest($1::bigint[], $2::text[]) as t(user_id, address)
     where d.user_id = t.user_id and d.address = t.address and d.address_updated_at < $3
"""
_DISABLE: Final = """
    update devices d set is_push_enabled = false from unnest($1::bigint[], $2::text[]) as t(user_id, address)
     where d.user_id = t.user_id and d.address = t.address and d.address_updated_at < $3
"""


async def forget(connection: Any, places: Collection[Place], sent_at: datetime) -> None:
    """Deletes devices whose address the channel no longer knows."""
    await _change(connection, _FORGET, places, sent_at)


async def disable(connection: Any, places: Collection[Place], sent_at: datetime) -> None:
    """Keeps devices but sends them nothing more until they register again."""
    await _change(connection, _DISABLE, places, sent_at)


async def _change(connection: Any, query: str, places: Collection[Place], sent_at: datetime) -> None:
    if places:
        ordered = sorted(places)
        await connection.execute(
            query, [place.user_id for place in ordered], [place.address for place in ordered], sent_at
        )
