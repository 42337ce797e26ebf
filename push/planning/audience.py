"""Who may be reached by a campaign, in blocks by user id. Who that is says one function of the database (0027_audience.sql, 0028_inbox.sql)."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from push import copy_format
from push.contact.quiet_hours import Window, windows_in
from push.decider import Rhythms
from push.planning.local_window import Clock
from schema.audience import Audience
from schema.campaign import Campaign

READ_TIMEOUT_S: Final = 3600.0

STALE_AFTER: Final = timedelta(days=270)
"""FCM forgets an Android token after 270 days without a connection."""

ZONE_BYTES: Final = 64
"""More than any zone's name; a longer one is cut, and unknown either way."""

# Asked for in order, a table that was much updated would be sorted whole before the first person comes.
IN_ORDER: Final = "set local enable_sort = off"
# Fields of fixed width, so that a block is one array: what is shorter is filled up with zeros, what has another length is told by it.
# COPY takes no parameters: asyncpg asks the server for each as a quoted literal, which is why each says its type here.
AUDIENCE: Final = """
    select user_id, cardinality(quiet_minutes)::int2,
           substring(convert_to(coalesce(time_zone, ''), 'UTF8') || decode(repeat('00', $15::int), 'hex') from 1 for $15::int),
           coalesce(length(rhythm), 0)::int4,
           case when length(rhythm) = $16::int then rhythm else decode(repeat('00', $16::int), 'hex') end
      from audience_of($1::timestamptz, $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                       $8::timestamptz, $9::timestamptz, $10::timestamptz, $11::text[], $12::text[], $13::boolean)
     where user_id > $14::bigint and left_out_by is null order by user_id
"""
_QUIET: Final = "select user_id, quiet_minutes from users where user_id = any($1::bigint[])"
_AMONG: Final = """
    select user_id, time_zone, quiet_minutes
      from audience_of($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
     where user_id = any ($14::bigint[]) and left_out_by is null
"""
_ZONES: Final = """
    select time_zone from users where time_zone is not null union select time_zone from devices where time_zone is not null
"""


_HIGHEST: Final = "select coalesce(max(user_id), 0) from users"


class Reachable(NamedTuple):
    """A person of the audience; the rhythm is packed and empty for who has never come, `quiet` are the person's own quiet hours."""

    user_id: int
    time_zone: str | None
    rhythm: bytes
    quiet: tuple[Window, ...] = ()


class Reach(NamedTuple):
    """By which channels people of an audience must be reachable, one at least; by none: they need not be."""

    by_push: bool
    by_email: bool


BY_PUSH: Final = Reach(by_push=True, by_email=False)
ANYBODY: Final = Reach(by_push=False, by_email=False)


class People(NamedTuple):
    """Some of an audience by user id, (people,); `clock` is whose of the `clocks` is theirs."""

    user_ids: npt.NDArray[np.int64]
    clock: npt.NDArray[np.int64]
    clocks: Sequence[Clock]
    rhythms: Rhythms


def reach_of(campaign: Campaign) -> Reach:
    """An inbox has everybody, and a webhook may know anybody."""
    channels = set(campaign.channels)
    if channels & {"inbox", "webhook"}:
        return ANYBODY
    return Reach("push" in channels, "email" in channels)


def asked(audience: Audience, now: datetime, reach: Reach = BY_PUSH) -> tuple[Any, ...]:
    """The thirteen arguments of audience_of, in its order; None is a rule that is not asked."""
    return (
        now - STALE_AFTER if reach.by_push else None,
        audience.tags_any or None,
        audience.tags_all or None,
        audience.tags_none or None,
        audience.store_ids or None,
        audience.exclude_store_ids or None,
        audience.time_zones or None,
        _days_before(now, audience.active_within_days),
        _days_before(now, audience.inactive_for_days),
        _days_before(now, audience.new_within_days),
        audience.platforms or None,
        [language.lower() for language in audience.languages] or None,
        reach.by_email,
    )


class Place(NamedTuple):
    """Where in an audience reading begins, after which user id, and how many people are a block."""

    after: int
    people_max: int


async def stream(
    pool: Any,
    audience: Audience,
    now: datetime,
    place: Place,
    rhythm_bytes: int,
    give: Callable[[People], Awaitable[None]],
    *,
    reach: Reach = BY_PUSH,
) -> None:
    """Gives the people of the audience by user id, as they are when the reading begins, in blocks; the last is not full, and may be empty.

    One COPY, which waits while `give` does. Who can be reached in none of the ways of `reach` does not belong to it.
    """
    decoder = copy_format.Decoder(_row(rhythm_bytes), place.people_max)

    async def take(data: bytes) -> None:
        for rows in decoder.feed(data):
            await give(await _people(pool, rows))

    given = (*asked(audience, now, reach), place.after, ZONE_BYTES, rhythm_bytes)
    async with pool.acquire() as connection:
        reading = connection.transaction(readonly=True)
        await reading.start()
        try:
            await connection.execute(IN_ORDER)
            await connection.copy_from_query(AUDIENCE, *given, output=take, format="binary", timeout=READ_TIMEOUT_S)
        except BaseException:
            # Stopped at its last piece, asyncpg would wait until its time is out for the end of a statement that has ended.
            connection.terminate()
            raise
        await reading.commit()
    await give(await _people(pool, decoder.end()))


async def _people(pool: Any, rows: npt.NDArray[Any]) -> People:
    user_ids = rows["user_id"].astype(np.int64)
    with_quiet = user_ids[rows["quiet_count"] > 0].tolist()
    quiet = dict(await pool.fetch(_QUIET, with_quiet)) if with_quiet else {}
    clock, clocks = _clocks(user_ids, rows["zone"], quiet)
    return People(user_ids, clock, clocks, Rhythms(rows["rhythm"], rows["size"].astype(np.int64)))


def people_of(given: Sequence[Reachable], rhythm_bytes: int) -> People:
    """A few people, one by one, as a block."""
    numbers: defaultdict[Clock, int] = defaultdict(lambda: len(numbers))
    clock = np.array([numbers[Clock(one.time_zone, one.quiet)] for one in given], np.int64)
    packed = [one.rhythm if len(one.rhythm) == rhythm_bytes else bytes(rhythm_bytes) for one in given]
    sizes = np.array([len(one.rhythm) for one in given], np.int64)
    rhythms = Rhythms(np.frombuffer(b"".join(packed), f"V{rhythm_bytes}"), sizes)
    return People(np.array([one.user_id for one in given], np.int64), clock, list(numbers), rhythms)


@lru_cache(maxsize=4)
def _row(rhythm_bytes: int) -> np.dtype[np.void]:
    zone, rhythm = f"S{ZONE_BYTES}", f"V{rhythm_bytes}"
    return copy_format.layout(
        [("user_id", ">i8"), ("quiet_count", ">i2"), ("zone", zone), ("size", ">i4"), ("rhythm", rhythm)]
    )


def _clocks(
    user_ids: npt.NDArray[np.int64], zones: npt.NDArray[np.bytes_], quiet: dict[int, Sequence[int]]
) -> tuple[npt.NDArray[np.int64], list[Clock]]:
    """Whose clock is which, and the clocks there are."""
    numbers: defaultdict[Any, int] = defaultdict(lambda: len(numbers))
    clock = np.array([numbers[zone, ()] for zone in zones.tolist()], np.int64)
    for user_id, minutes in quiet.items():
        place = np.searchsorted(user_ids, user_id)
        clock[place] = numbers[zones[place].item(), tuple(minutes)]
    clocks = [Clock(zone.decode(errors="replace") or None, windows_in(minutes)) for zone, minutes in numbers]
    return clock, clocks


async def among(
    connection: Any, audience: Audience, now: datetime, user_ids: Collection[int], *, reach: Reach = BY_PUSH
) -> dict[int, Reachable]:
    """Those of the given people who belong to the audience, by user id, as `stream` has it; their rhythms are not read."""
    rows = await connection.fetch(_AMONG, *asked(audience, now, reach), list(user_ids))
    return {row[0]: Reachable(row[0], row[1], b"", windows_in(row[2])) for row in rows}


async def zones(connection: Any) -> frozenset[str]:
    """The names of all time zones that people or their devices said they are in."""
    return frozenset(row[0] for row in await connection.fetch(_ZONES))


async def highest(connection: Any) -> int:
    """The last user id there is."""
    return int(await connection.fetchval(_HIGHEST))


def _days_before(now: datetime, days: int | None) -> datetime | None:
    return now - timedelta(days=days) if days else None
