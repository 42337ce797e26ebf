"""The lint that keeps the schema shardable by user_id: first in every key of a per-user table, part of every reference to one."""

from typing import Final

import asyncpg
import pytest

# The directory from an app's own id to ours is looked up before user_id is known: it is distributed by its own key.
EXEMPT: Final = frozenset({"identities"})

# $1: tables whose keys need not begin with user_id. References to them are not exempt.
VIOLATIONS: Final = """
with column_of as (
    select a.attrelid, a.attnum, a.atttypid
      from pg_attribute a join pg_class c on c.oid = a.attrelid
     where a.attname = 'user_id' and not a.attisdropped
       and c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace
)
select i.indrelid::regclass::text as table_name, i.indexrelid::regclass::text as object_name,
       'key does not begin with user_id' as why
  from pg_index i join column_of u on u.attrelid = i.indrelid
 where i.indisunique and i.indkey[0] <> u.attnum and i.indrelid::regclass::text <> all($1::text[])
union all
select f.conrelid::regclass::text, f.conname::text, 'reference to a per-user table does not carry user_id'
  from pg_constraint f join column_of target on target.attrelid = f.confrelid
 where f.contype = 'f'
   and not exists (
       select from column_of source
        where source.attrelid = f.conrelid
          and exists (select from unnest(f.conkey, f.confkey) as pair (here, there)
                       where pair.here = source.attnum and pair.there = target.attnum))
union all
select u.attrelid::regclass::text, 'user_id', 'user_id is not bigint'
  from column_of u
 where u.atttypid <> 'bigint'::regtype
"""


async def violations(conn: asyncpg.Connection, exempt: frozenset[str] = EXEMPT) -> set[tuple[str, str, str]]:
    return {tuple(row) for row in await conn.fetch(VIOLATIONS, sorted(exempt))}


async def test_the_schema_can_be_sharded_by_user_id(connection: asyncpg.Connection) -> None:
    assert await violations(connection) == set()


async def test_every_exemption_is_needed(connection: asyncpg.Connection) -> None:
    found = await violations(connection, frozenset())
    assert {table for table, _, _ in found} == EXEMPT


SHOPPERS = "create table shoppers (user_id bigint primary key, card text);"
PARTITIONED = "create table t (user_id bigint, a int) partition by range (a); create table t_1 partition of t default;"
FIRST = "key does not begin with user_id"
CARRIES = "reference to a per-user table does not carry user_id"


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ("create table t (a int, user_id bigint, primary key (a))", ("t", "t_pkey", FIRST)),
        ("create table t (a int, user_id bigint, primary key (a, user_id))", ("t", "t_pkey", FIRST)),
        ("create table t (user_id bigint primary key, a int unique)", ("t", "t_a_key", FIRST)),
        ("create table t (user_id bigint, a int); create unique index u on t (a, user_id)", ("t", "u", FIRST)),
        ("create table t (user_id bigint, a text); create unique index u on t (lower(a))", ("t", "u", FIRST)),
        ("create table t (user_id bigint, a int); create unique index u on t (a) where a > 0", ("t", "u", FIRST)),
        (
            PARTITIONED + "create unique index u on t_1 (a)",
            ("t_1", "u", FIRST),
        ),
        (
            SHOPPERS + "alter table shoppers add unique (user_id, card);"
            "create table t (owner bigint, card text, foreign key (owner, card) references shoppers (user_id, card))",
            ("t", "t_owner_card_fkey", CARRIES),
        ),
        (
            # user_id is there, but another column is what refers.
            SHOPPERS + "create table t (user_id bigint primary key, friend bigint references shoppers)",
            ("t", "t_friend_fkey", CARRIES),
        ),
        ("create table t (user_id uuid primary key)", ("t", "user_id", "user_id is not bigint")),
    ],
)
async def test_a_planted_mistake_is_reported(
    connection: asyncpg.Connection, planted: str, found: tuple[str, str, str]
) -> None:
    await connection.execute(planted)
    assert await violations(connection) == {found}


async def test_what_is_right_is_not_reported(connection: asyncpg.Connection) -> None:
    await connection.execute(
        SHOPPERS + "create table kinds (kind int primary key);"
        "create table t (user_id bigint references shoppers, id uuid, kind int references kinds, primary key (user_id, id));"
        "create index on t (kind, user_id)"
    )
    assert await violations(connection) == set()
