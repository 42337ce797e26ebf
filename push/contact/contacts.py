"""Rules of contact and counted pushes in PostgreSQL: versions are only added, and a person's row is locked by whoever counts.

Locks in a fixed order: rows of the outbox or of deliveries, devices and addresses, then rows of contacts by user id. Nobody
who holds a contact asks for one of the others.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from push.contact import contact_rules
from push.contact.contact_rules import Contact, Person
from push.contact.quiet_hours import windows_in
from schema.contact_rules import ContactRules, RulesInForce

_NEWEST: Final = "select version, rules, set_at, set_by from contact_rules order by version desc limit 1"
_PAGE: Final = """
    select version, rules, set_at, set_by from contact_rules where version < $1 order by version desc limit $2
"""
_SERIALISE: Final = "lock table contact_rules in share row exclusive mode"
_SET: Final = """
    insert into contact_rules (version, rules, set_at, set_by)
    select coalesce(max(version), 0) + 1, $1, $2, $3 from contact_rules
    returning version
"""
# One pass in one order makes rows that are missing and locks those that are there: nothing is written to these.
_HOLD: Final = """
    insert into contacts (user_id) select u from unnest($1::bigint[]) as t(u) order by u
    on conflict (user_id) do update set sent = contacts.sent where false
"""
_PEOPLE: Final = """
    select u.user_id, (select max(version) from contact_rules),
           coalesce(u.time_zone, (select d.time_zone from devices d
                                   where d.user_id = u.user_id and d.time_zone is not null
                                   order by d.last_seen_at desc limit 1)),
           u.quiet_minutes, u.pushes_per_day_max, u.pushes_per_week_max, c.sent
      from users u left join lateral (select sent from contacts where contacts.user_id = u.user_id limit 1) c on true
     where u.user_id = any($1::bigint[])
"""
_PUT: Final = """
    update contacts c set sent = t.sent::jsonb from unnest($1::bigint[], $2::text[]) as t(user_id, sent) where c.user_id = t.user_id
"""
# In a statement of its own: what another channel's claim relies on, under this lock, is seen by the next one.
_HOLD_GIVEN: Final = """
    select 1 from contacts
     where user_id = any (array(select coalesce(merged_into, user_id) from users where user_id = any($1::bigint[])))
     order by user_id for update
"""
# What was claimed for somebody who was merged meanwhile is found with whom they became. What another channel has sent, or may have, stays.
_GIVE_BACK: Final = """
    with given as (
        select coalesce(u.merged_into, u.user_id) as user_id, array_agg(t.outbox_id::text) as outbox_ids
          from unnest($1::bigint[], $2::uuid[]) as t(user_id, outbox_id) join users u using (user_id)
         where not exists (select 1 from deliveries d
                            where d.user_id in (t.user_id, u.merged_into) and d.outbox_id = t.outbox_id and d.state in (2, 3, 7))
         group by 1
    )
    update contacts c
       set sent = coalesce((select jsonb_agg(one) from jsonb_array_elements(c.sent) one where one ->> 1 <> all (g.outbox_ids)), '[]')
      from given g where c.user_id = g.user_id
"""

# By pages of people: an index on the instants would cost each claim more than this walk costs a day.
_PAGE_OF_PEOPLE: Final = """
    select user_id, not exists (select 1 from jsonb_array_elements(sent) one where (one ->> 0)::bigint > $2)
      from contacts where user_id > $1 order by user_id limit $3
"""
_PURGE: Final = """
    with held as materialized (
        select user_id from contacts
         where user_id = any($1::bigint[]) and not exists (select 1 from jsonb_array_elements(sent) one where (one ->> 0)::bigint > $2)
         order by user_id for update skip locked
    )
    delete from contacts c using held where c.user_id = held.user_id
"""
_PURGE_ROWS: Final = 10_000

_ENCODER: Final = msgspec.json.Encoder()


class RulesCache:
    """The rules in force as this process saw them last."""

    def __init__(self) -> None:
        self._newest = RulesInForce(version=0, rules=ContactRules())

    async def of_version(self, connection: Any, version: int | None) -> ContactRules:
        """The rules of the version that a look at people told of, which is the newest; None are the defaults."""
        if (version or 0) != self._newest.version:
            self._newest = await read(connection)
        return self._newest.rules


async def read(connection: Any) -> RulesInForce:
    """The rules in force, and who set them; the defaults when nobody did."""
    row = await connection.fetchrow(_NEWEST)
    return RulesInForce(version=0, rules=ContactRules()) if row is None else _in_force(row)


async def page(connection: Any, before: int, limit: int) -> list[RulesInForce]:
    """Versions below `before`, the newest first."""
    return [_in_force(row) for row in await connection.fetch(_PAGE, before, limit)]


async def put(connection: Any, rules: ContactRules, now: datetime, by: str) -> RulesInForce:
    """Adds the next version, which holds for every draw and claim that begins after the caller's commit; the same rules again add none."""
    await connection.execute(_SERIALISE)
    before = await read(connection)
    if before.version and before.rules == rules:
        return before
    version = await connection.fetchval(_SET, msgspec.to_builtins(rules), now, by)
    return RulesInForce(version=version, rules=rules, set_at=now, set_by=by)


async def hold(connection: Any, user_ids: Collection[int]) -> None:
    """Locks what is counted of these people until the caller's transaction ends."""
    if user_ids:
        await connection.execute(_HOLD, sorted(set(user_ids)))


async def people(connection: Any, user_ids: Collection[int]) -> tuple[dict[int, Person], int | None]:
    """What the rules ask of each, and the version of the rules in force; who is gone is missing."""
    rows = await connection.fetch(_PEOPLE, list(user_ids))
    return {row[0]: _person(row) for row in rows}, rows[0][1] if rows else None


async def write(connection: Any, sent: Mapping[int, Sequence[Contact]]) -> None:
    """Writes what is counted of people that are held."""
    if sent:
        # As text: of lists asyncpg would make arrays of arrays.
        await connection.execute(_PUT, list(sent), [_ENCODER.encode(one).decode() for one in sent.values()])


async def give_back(connection: Any, unsent: Collection[tuple[int, UUID]]) -> None:
    """Counts no more the pushes of which it is certain that nothing was sent: user id and outbox id of each. In the caller's transaction."""
    if unsent:
        await connection.execute(_HOLD_GIVEN, [user_id for user_id, _ in unsent])
        await connection.execute(_GIVE_BACK, *map(list, zip(*unsent, strict=True)))


async def purge(connection: Any, now: datetime) -> None:
    """Forgets people who were sent nothing for so long that no rule asks; page by page, whoever is being claimed for is left out."""
    oldest_ms, after = contact_rules.milliseconds(now - contact_rules.KEPT_FOR), 0
    while page := await connection.fetch(_PAGE_OF_PEOPLE, after, oldest_ms, _PURGE_ROWS):
        after = page[-1][0]
        if old := [user_id for user_id, is_old in page if is_old]:
            await connection.execute(_PURGE, old, oldest_ms)


def _person(row: Any) -> Person:
    sent = [Contact(*one) for one in row[6]] if row[6] else []
    return Person(row[2], windows_in(row[3]), row[4], row[5], sent)


def _in_force(row: Any) -> RulesInForce:
    rules = msgspec.convert(row[1], ContactRules)
    return RulesInForce(version=row[0], rules=rules, set_at=row[2], set_by=row[3])
