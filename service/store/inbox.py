"""In-app inboxes: the items of a person by position, which rises in the order of commits (push.drawing.fan_out puts them there)."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from schema.event import EventType

KEPT_FOR: Final = timedelta(days=30)
PURGED_MAX: Final = 10_000
READ_MAX: Final = 500
"""Items that one page is chosen from."""

_READ: Final = """
    select i.position, i.decision_id, c.external_id, i.offer_id, i.put_at, i.expires_at, i.shown_at is not null, i.read_at is not null,
           r.reservation_id, r.expires_at
      from inbox_items i join campaigns c using (campaign_id)
      left join reservations r on i.is_promised and r.user_id = i.user_id and r.offer_id = i.offer_id and r.state = 0 and r.expires_at > $3
     where i.user_id = $1 and i.position < $2 and i.expires_at > $3 and i.dismissed_at is null and c.status = 'active'
       and not exists (select 1 from sending_stop s where not (s.spares_transactional and c.body ->> 'kind' = 'transactional'))
       and (not i.is_promised or r.user_id is not null)
     order by i.position desc limit $4
"""
# Of two pulls at once one shows. Whoever changes several items locks them in their order.
_SHOW: Final = """
    with locked as materialized (
        select user_id, position from inbox_items where user_id = $1 and position = any ($2::bigint[]) and shown_at is null
         order by position for update
    )
    update inbox_items i set shown_at = $3 from locked l where i.user_id = l.user_id and i.position = l.position
    returning i.decision_id, i.offer_id
"""
_NOTE: Final = """
    with told as (
        select user_id, decision_id, bool_or(is_dismissed) as is_dismissed
          from unnest($1::bigint[], $2::uuid[], $3::boolean[]) as t(user_id, decision_id, is_dismissed) group by 1, 2
    ), locked as materialized (
        select i.user_id, i.position, t.is_dismissed from told t join inbox_items i using (user_id, decision_id)
         order by i.user_id, i.position for update of i
    )
    update inbox_items i
       set read_at = coalesce(i.read_at, $4), dismissed_at = coalesce(i.dismissed_at, case when l.is_dismissed then $4 end)
      from locked l where i.user_id = l.user_id and i.position = l.position
"""
_MOVE: Final = """
    with moved as (
        delete from inbox_items where user_id = $2 returning *
    ), counted as (
        insert into inboxes (user_id, items) select $1, count(*) from moved having count(*) > 0
        on conflict (user_id) do update set items = inboxes.items + excluded.items
        returning items
    )
    insert into inbox_items (user_id, position, decision_id, campaign_id, offer_id, is_promised, put_at, expires_at, shown_at, read_at,
                             dismissed_at)
    select $1, c.items - count(*) over () + row_number() over (order by m.position), m.decision_id, m.campaign_id, m.offer_id, m.is_promised,
           m.put_at, m.expires_at, m.shown_at, m.read_at, m.dismissed_at
      from moved m cross join counted c
"""
_CLOSE: Final = "delete from inboxes where user_id = $1"
_PURGE: Final = """
    delete from inbox_items where ctid = any (array(
        select ctid from inbox_items where expires_at < $1 order by expires_at limit $2 for update skip locked))
"""

_READING: Final = frozenset({EventType.OPENED, EventType.REDEEMED, EventType.THUMBS_UP, EventType.DISMISSED})


class Lying(NamedTuple):
    """An item that is not over and was not dismissed, of an active campaign, with the promise it tells of, which is open."""

    position: int
    decision_id: UUID
    campaign: str
    offer_id: int
    put_at: datetime
    expires_at: datetime
    is_shown: bool
    is_read: bool
    reservation_id: UUID | None
    reserved_until: datetime | None


class Answered(NamedTuple):
    """What somebody did with a slot of a decision, if it was one; an item tells of the first slot."""

    user_id: int
    decision_id: UUID | None
    slot: int
    kind: int


class Shown(NamedTuple):
    """An item that was taken for the first time."""

    decision_id: UUID
    offer_id: int


async def read(connection: Any, user_id: int, before: int, now: datetime) -> list[Lying]:
    """The newest items before a position, READ_MAX at most."""
    return [Lying(*row) for row in await connection.fetch(_READ, user_id, before, now, READ_MAX)]


async def show(connection: Any, user_id: int, positions: Sequence[int], now: datetime) -> list[Shown]:
    """Notes that the person's app has taken these; gives those that it had not before."""
    return [Shown(*row) for row in await connection.fetch(_SHOW, user_id, list(positions), now)]


async def note(connection: Any, answers: Iterable[Answered], now: datetime) -> None:
    """Takes up what people answered to decisions that may lie in their inboxes, by whatever door it came."""
    about = [
        (user_id, decision_id, kind == EventType.DISMISSED)
        for user_id, decision_id, slot, kind in answers
        if kind in _READING and decision_id is not None and slot == 0
    ]
    if about:
        await connection.execute(_NOTE, *map(list, zip(*about, strict=True)), now)


async def move(connection: Any, kept: int, lost: int) -> None:
    """Gives a user's items to the one they are merged into, as new ones."""
    await connection.execute(_MOVE, kept, lost)
    await connection.execute(_CLOSE, lost)


async def purge(connection: Any, now: datetime) -> None:
    """Forgets what was over long ago; some thousands at a call."""
    await connection.execute(_PURGE, now - KEPT_FOR, PURGED_MAX)
