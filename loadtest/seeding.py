"""A million people in less than a minute: SQL beside the service, which copies people it has learned of.

What is copied is what a decision reads: the name, the row of `users`, the learned state. The event log, the population's counts
and the model know only those who were told over the API.
"""

from typing import Any, Final

_SETTINGS: Final = "set synchronous_commit = off; set maintenance_work_mem = '256MB'; set work_mem = '256MB'"
_PEOPLE: Final = """
    insert into users (external_id, created_at)
    select 'person-' || lpad(place::text, 7, '0'), now() from generate_series($1::integer, $2::integer - 1) as g(place)
"""
_NAMES: Final = """
    insert into identities (kind, external_id, user_id, linked_at)
    select 0, external_id, user_id, created_at from users where user_id > $1
"""
_STATES: Final = """
    insert into user_state (user_id, tastes, rhythm, personal, updated_at)
    with known as (select row_number() over (order by user_id) - 1 as place, * from user_state)
    select u.user_id, k.tastes, k.rhythm, k.personal, k.updated_at
      from users u join known k on k.place = u.user_id % (select count(*) from user_state)
     where u.user_id > $1
"""
_SIZE: Final = """
    select sum(pg_total_relation_size(name::regclass))::bigint from unnest(array['users', 'identities', 'user_state']) as t(name)
"""


async def multiply(connection: Any, told: int, people: int) -> None:
    """Makes people `told` … `people` - 1, each with the learned state of one of those that are there."""
    await connection.execute(_SETTINGS)
    last = await connection.fetchval("select max(user_id) from users")
    async with connection.transaction():
        await connection.execute(_PEOPLE, told, people, timeout=300)
        await connection.execute(_NAMES, last, timeout=300)
        await connection.execute(_STATES, last, timeout=300)
    await connection.execute("vacuum analyze users, identities, user_state", timeout=300)
    await connection.execute("reset all")


async def people_bytes(connection: Any) -> int:
    """What people take on disk, indexes included: names, rows and learned states."""
    size = await connection.fetchval(_SIZE)
    return int(size)
