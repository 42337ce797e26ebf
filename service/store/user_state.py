"""What has been learned of each person: packed tastes, rhythm and personal sums, written by the fold over the event log only."""

from collections.abc import Collection, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final, NamedTuple

PIECE_ROWS: Final = 500
"""Read or written at once: ten thousand states are twenty megabytes, which on both sides were fresh pages for each statement."""
_ATTEMPTS: Final = 4
# A merge locks both rows for update: it waits for us, or we for it, and then we read where the person went.
_HOLD: Final = """
    select user_id, merged_into from users where user_id = any($1::bigint[]) order by user_id for key share
"""
_LOAD: Final = "select user_id, tastes, rhythm, personal from user_state where user_id = any($1::bigint[])"
_PUT: Final = """
    insert into user_state (user_id, tastes, rhythm, personal, updated_at)
    select user_id, tastes, rhythm, personal, $5
      from unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[]) as n(user_id, tastes, rhythm, personal)
    on conflict (user_id) do update
       set tastes = excluded.tastes, rhythm = excluded.rhythm, personal = excluded.personal, updated_at = excluded.updated_at
"""


class State(NamedTuple):
    """Packed bandits.tastes, bandits.rhythm and bandits.personal; empty bytes are a person nothing is known of."""

    tastes: bytes = b""
    rhythm: bytes = b""
    personal: bytes = b""


async def hold(connection: Any, user_ids: Collection[int]) -> dict[int, int]:
    """The surviving user of each user id; until the caller's transaction ends no merge can change it.

    Left out are ids of which nothing is left: those people were erased.
    """
    merged_into: dict[int, int | None] = {}
    wanted = set(user_ids)
    for _ in range(_ATTEMPTS):
        rows = await connection.fetch(_HOLD, sorted(wanted))
        merged_into |= dict(rows)
        wanted = {into for into in merged_into.values() if into is not None} - merged_into.keys()
        if not wanted:
            break
    survivors = {user_id: _survivor(merged_into, user_id) for user_id in user_ids}
    return {user_id: into for user_id, into in survivors.items() if into is not None}


def _survivor(merged_into: Mapping[int, int | None], user_id: int) -> int | None:
    for _ in range(_ATTEMPTS):
        if user_id not in merged_into:
            return None
        into = merged_into[user_id]
        if into is None:
            return user_id
        user_id = into
    return None


async def load(connection: Any, user_ids: Collection[int]) -> dict[int, State]:
    """The states of those users who have one."""
    wanted, states = iter(user_ids), dict[int, State]()
    while piece := list(islice(wanted, PIECE_ROWS)):
        for user_id, *parts in await connection.fetch(_LOAD, piece):
            states[user_id] = State(*parts)
    return states


async def put(connection: Any, states: Mapping[int, State], now: datetime) -> None:
    """Writes states whole; the caller is the only one who may write for these users."""
    pairs = iter(states.items())
    while piece := list(islice(pairs, PIECE_ROWS)):
        user_ids, some = zip(*piece, strict=True)
        await connection.execute(_PUT, user_ids, *map(list, zip(*some, strict=True)), now)
