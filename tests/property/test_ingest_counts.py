"""Whatever mix of good, bad and repeated events arrives: every one is told its fate, and sending again changes nothing."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

import asyncpg
import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schema.event import BatchAnswer
from service.ingest import writer
from service.ingest.buffer import EventBuffer
from service.ingest.intake import Intake
from service.ingest.judge import Caller
from service.store.offer_ids import OfferIds
from service.store.people import ANONYMOUS, USER, PersonKey, Speaker
from service.store.pool import open_pool

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
CALLER = Caller(
    is_secret=True,
    may_backfill=False,
    acts_as=lambda user, anonymous: Speaker(
        PersonKey(USER, user) if user is not None else PersonKey(ANONYMOUS, anonymous or "")
    ),
)
RUN = count()

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
plausible = st.fixed_dictionaries(
    {
        "event_id": st.sampled_from(["a", "b", "c", "d", "10000000-0000-0000-0000-000000000001"]),
        "user_id": st.sampled_from(["ann", "bob", "çelik"]),
        "type": st.sampled_from(["purchase", "view", "app_open", "opened", "redeemed", "bought"]),
        "occurred_at": st.integers(-8 * 86_400, 90).map(lambda s: (NOW + timedelta(seconds=s)).isoformat()),
    },
    optional={
        "slot": st.integers(-1, 65),
        "properties": st.dictionaries(st.text(max_size=5), values, max_size=3)
        | st.fixed_dictionaries({"tags": st.lists(st.text(max_size=5), max_size=3)}),
        "offer_id": st.just("no-such-offer"),
    },
)
batches = st.lists(plausible | values, max_size=12)


def body_of(events: list[Any], run: int) -> bytes:
    # Each run has people of its own, so that all can share one database.
    named = [
        event | {"user_id": f"{event['user_id']}{run}"} if isinstance(event, dict) and "occurred_at" in event else event
        for event in events
    ]
    return msgspec.json.encode({"sent_at": NOW, "batch": named})


class _Stopped:
    async def now(self) -> datetime:
        return NOW


async def state(pool: asyncpg.Pool) -> list[Any]:
    tables = ("users", "identities", "events", "event_keys", "event_log", "tags")
    return [
        await pool.fetchval(f"select array_agg(t order by t::text) from (select x::text as t from {table} x) y")
        for table in tables
    ]


def test_every_event_is_counted_once_and_resending_is_harmless(database: str) -> None:
    with asyncio.Runner() as runner:
        pool = runner.run(open_pool(database, 2))
        buffer = EventBuffer(pool, 20_000, partial(writer.write, remembered=writer.Remembered()))
        intake = Intake(_Stopped(), OfferIds(pool), buffer)

        async def take(body: bytes) -> BatchAnswer:
            return await intake.take(body, CALLER)

        async def send_twice(body: bytes, sent: int) -> None:
            first = await take(body)
            assert first.accepted + first.duplicates + first.rejected == sent
            assert len(first.errors) == first.rejected
            before = await state(pool)
            again = await take(body)
            assert (again.accepted, again.duplicates) == (0, first.accepted + first.duplicates)
            assert again.errors == first.errors
            assert await state(pool) == before

        @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
        @given(events=batches)
        def check(events: list[Any]) -> None:
            runner.run(send_twice(body_of(events, next(RUN)), len(events)))

        async def opened() -> None:
            buffer.open()

        runner.run(opened())
        check()
        runner.run(buffer.close())
        runner.run(pool.close())
