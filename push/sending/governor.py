"""How fast pushes leave: permits of one rate that all dispatchers share, leased a batch at a time from one row of PostgreSQL.

The rate climbs from a sixtieth of the greatest to the greatest in a minute of use, falls by half when the service says that it is too
much, and climbs again. A lease is a stretch of time: its messages leave evenly spread over it, and nobody else's do. The clock
is PostgreSQL's, so that nodes whose clocks differ agree. Rules of FCM: docs of quotas, "ramp up to max over 60 seconds, avoid spikes".
"""

import math
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

RAMP_S: Final = 60.0
"""From next to nothing to the greatest rate; after so long without sending it begins anew."""

LEASE_S: Final = 0.25
"""The longest stretch of one lease: what is claimed leaves soon."""

AHEAD_S: Final = 2.0
"""A lease does not begin later than this: rather ask again."""

_MAKE: Final = """
    insert into send_rates (account, rate_per_s, free_at, leased_at, paused_until, halved_at)
    values ($1, $2, clock_timestamp(), clock_timestamp(), '-infinity', '-infinity') on conflict do nothing
"""
# A pause is no idleness: after it the rate goes on from where it was. No lease reaches a minute ahead: what does is of a clock that was
# set back since, and counts no more.
_LEASE: Final = """
    with held as materialized (
        select * from send_rates where account = $1 for update
    ), present as (
        select *, extract(epoch from at - greatest(leased_at, paused_until)) as idle_s, $3::float8 / $4::float8 as step
          from (select held.*, clock_timestamp() as at from held) dated
    ), grown as (
        select *, case when idle_s > $4 then step else least($3, rate_per_s + step * greatest(least(idle_s, 1), 0)) end as rate
          from present where paused_until <= at and free_at not between at + make_interval(secs => $6) and at + make_interval(secs => $4)
    ), given as (
        select *, least($2::int, ceil(rate * $5))::int as messages,
               case when free_at > at + make_interval(secs => $6) then at else greatest(free_at, at) end as starts_at
          from grown
    )
    update send_rates s
       set rate_per_s = g.rate, leased_at = g.at, free_at = g.starts_at + make_interval(secs => g.messages / g.rate)
      from given g where s.account = g.account
    returning g.messages, g.rate, extract(epoch from g.starts_at - g.at)::float8, s.free_at,
              array(select p.platform || ' ' || ceil(extract(epoch from p.until - g.at))
                      from platform_stops p where p.account = g.account and p.until > g.at)
"""
_EXISTS: Final = "select exists (select 1 from send_rates where account = $1)"
_GIVE_BACK: Final = """
    update send_rates set free_at = free_at - make_interval(secs => $3::float8 / $4::float8) where account = $1 and free_at = $2
"""
# One overload is answered to many requests: what was sent before the last halving says nothing new.
# Of the row itself, which is read anew by who had to wait for it: a subquery would tell how it was before.
_HOLD_BACK: Final = """
    update send_rates
       set paused_until = greatest(paused_until, clock_timestamp() + make_interval(secs => $2)),
           rate_per_s = case when $4 and halved_at < statement_timestamp() - make_interval(secs => $3)
                             then greatest(rate_per_s / 2, 1) else rate_per_s end,
           halved_at = case when $4 and halved_at < statement_timestamp() - make_interval(secs => $3)
                            then clock_timestamp() else halved_at end
     where account = $1
"""
# Down to where a ramp begins, and no pause: a slow service is still one.
_SLOW_DOWN: Final = """
    update send_rates set rate_per_s = least(rate_per_s, greatest(rate_per_s / 2, $3)), halved_at = clock_timestamp()
     where account = $1 and halved_at < clock_timestamp() - make_interval(secs => $2)
"""
_STOP: Final = """
    insert into platform_stops as p (account, platform, until) values ($1, $2, clock_timestamp() + make_interval(secs => $3))
    on conflict (account, platform) do update set until = greatest(p.until, excluded.until)
"""


class Lease(NamedTuple):
    """Leave to send `messages`, the first in `wait_s`, then so many a second; none at all: ask again later.

    But to no phone of the platforms in `stopped`, for so many seconds.
    """

    messages: int
    rate_per_s: float
    wait_s: float
    ends_at: datetime | None
    stopped: Mapping[str, float] = MappingProxyType({})


class Governor(Protocol):
    """Who says how many messages may leave."""

    async def lease(self, wanted: int) -> Lease: ...

    async def give_back(self, lease: Lease, unused: int) -> None: ...

    async def hold_back(self, seconds: float, age_s: float, *, is_over_quota: bool) -> None:
        """Nothing leaves for so long, on any node. `age_s` ago the messages were sent that were refused."""
        ...

    async def slow_down(self, age_s: float) -> None:
        """Half as fast, on any node: answers to what was sent `age_s` ago took much longer than they used to."""
        ...

    async def stop(self, platform: str, seconds: float) -> None:
        """Nothing leaves for phones of this platform for so long, on any node."""
        ...


class Ungoverned:
    """No limit, as in a virtual world."""

    async def lease(self, wanted: int) -> Lease:
        """All that is wanted, at once."""
        return Lease(wanted, math.inf, 0.0, None)

    async def give_back(self, lease: Lease, unused: int) -> None: ...

    async def hold_back(self, seconds: float, age_s: float, *, is_over_quota: bool) -> None: ...

    async def slow_down(self, age_s: float) -> None: ...

    async def stop(self, platform: str, seconds: float) -> None: ...


class SharedGovernor:
    """The rate of one account, shared by all who use the same database."""

    def __init__(self, pool: Any, account: str, rate_max_per_s: float) -> None:
        self._pool = pool
        self._account = account
        self._rate_max = rate_max_per_s

    async def lease(self, wanted: int) -> Lease:
        """Permits for `wanted` messages at most; fewer while the rate is small, none in a pause."""
        arguments = (self._account, wanted, self._rate_max, RAMP_S, LEASE_S, AHEAD_S)
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(_LEASE, *arguments)
            if row is None and not await connection.fetchval(_EXISTS, self._account):
                await connection.execute(_MAKE, self._account, self._rate_max / RAMP_S)
                row = await connection.fetchrow(_LEASE, *arguments)
        if row is None:
            return Lease(0, self._rate_max, 0.0, None)
        messages, rate_per_s, wait_s, ends_at, stopped = row
        seconds_of = dict(text.split() for text in stopped)
        return Lease(messages, rate_per_s, wait_s, ends_at, {name: float(seconds_of[name]) for name in seconds_of})

    async def give_back(self, lease: Lease, unused: int) -> None:
        """What was leased last and not used is free again; what others leased after it stays where it is."""
        if unused:
            async with self._pool.acquire() as connection:
                await connection.execute(_GIVE_BACK, self._account, lease.ends_at, float(unused), lease.rate_per_s)

    async def hold_back(self, seconds: float, age_s: float, *, is_over_quota: bool) -> None:
        """Pauses the account for all nodes, and halves its rate if it was too much."""
        async with self._pool.acquire() as connection:
            await connection.execute(_HOLD_BACK, self._account, seconds, age_s, is_over_quota)

    async def slow_down(self, age_s: float) -> None:
        """Halves the rate, once for all that was sent before."""
        async with self._pool.acquire() as connection:
            await connection.execute(_SLOW_DOWN, self._account, age_s, self._rate_max / RAMP_S)

    async def stop(self, platform: str, seconds: float) -> None:
        """Pauses one kind of phones for all nodes."""
        async with self._pool.acquire() as connection:
            await connection.execute(_STOP, self._account, platform, seconds)
