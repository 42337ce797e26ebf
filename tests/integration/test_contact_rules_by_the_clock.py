"""Six zones through both changes of the clock of 2026-27, lived in virtual time by planner, draw and dispatcher, with jumps of an hour.

Judged is what phones received, by when, on the standard library's zones: nothing twice, nothing in quiet hours, no cap or gap broken.
"""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from push import agenda
from push.clock import standing
from push.drawing.due import DueDrawer
from push.fcm.channel import FcmChannel
from push.planning.planner import Planner
from push.sending.dispatcher import Dispatcher
from schema.contact_rules import LONGEST_S, Cap, ContactRules, QuietHours
from service.decision.policy import BUILT_IN
from service.learning.composer import Composer
from service.planning.exposure_journal import EventLogJournal
from service.planning.moments import LearnedMoments
from service.planning.push_decider import PipelineDecider
from service.store import partitions_by_day
from service.store.catalogue import CatalogueCache
from service.store.current_policy import PolicyCache
from service.store.current_snapshot import SnapshotCache
from service.store.pool import open_pool
from tests.contract.stand_in_server import StandInServer
from tests.integration import push_world
from tests.integration.push_world import HOUR, SEED

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
ZONES = (
    "America/New_York",
    "America/Los_Angeles",
    "America/Havana",  # changes at midnight
    "Europe/Berlin",
    "Australia/Lord_Howe",  # by half an hour
    "Asia/Kolkata",  # never
)
CHANGES = (
    date(2026, 10, 4),
    date(2026, 10, 25),
    date(2026, 11, 1),
    date(2027, 3, 14),
    date(2027, 3, 28),
    date(2027, 4, 4),
)
PEOPLE = 42
STEP = 20 * MINUTE
GAP_S = 3600

# Open for some hours of the night alone, those in which clocks are changed; and as by default.
NIGHT = ContactRules(
    quiet_hours=[QuietHours(begins="03:15", ends="00:45")],
    unknown_zone_margin_s=1800,
    caps=[Cap(pushes_max=1, per="local_day"), Cap(pushes_max=3, within_s=LONGEST_S)],
    min_gap_s=GAP_S,
)
DAYTIME = ContactRules(
    caps=[Cap(pushes_max=2, per="local_day"), Cap(pushes_max=3, within_s=LONGEST_S)], min_gap_s=GAP_S
)


@pytest.fixture
def server() -> Iterator[StandInServer]:
    with StandInServer() as server:
        yield server


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 4) as pool:
        yield pool


class Machine:
    """What the worker does at an instant."""

    def __init__(self, pool: asyncpg.Pool, snapshot: SnapshotCache, channel: FcmChannel) -> None:
        self._pool = pool
        self._planner = Planner(pool, LearnedMoments(snapshot), SEED)
        self._drawer = DueDrawer(pool, PipelineDecider(CatalogueCache(), snapshot, PolicyCache(pool, BUILT_IN)), SEED)
        self._dispatcher = Dispatcher(pool, channel, EventLogJournal())

    async def live(self, now: datetime) -> None:
        due = await agenda.look(self._pool, now)
        if due.has_to_plan:
            await self._planner.plan_due(now)
            due = await agenda.look(self._pool, now)
        if due.has_to_draw:
            await self._drawer.draw_due(standing(now))
        if due.has_to_draw or due.has_to_send:
            await self._dispatcher.dispatch(standing(now))


def instants(change: date) -> Iterator[datetime]:
    """Three days and the width of the Earth around a change; before it the clock jumps ahead for a while, after it back, and again."""
    begin = datetime.combine(change - 2 * DAY, datetime.min.time(), UTC) + 9 * HOUR
    for step in range(int(4 * DAY / STEP)):
        at = begin + step * STEP + timedelta(seconds=step * 37 % 900)
        jump = (HOUR, -HOUR)[step // 12 % 2] if step // 3 % 4 == 1 else timedelta()
        yield at + jump


def zone_of(address: str) -> str | None:
    """Of person n the n-th zone; of every seventh it is not known."""
    number = int(address.rpartition("-")[2])
    return None if number % 7 == 6 else ZONES[number % 7]


def is_quiet(at: datetime, zone: ZoneInfo, rules: ContactRules, margin_s: int) -> bool:
    local = at.astimezone(zone)
    minute = local.hour * 60 + local.minute + local.second / 60
    begins, ends = rules.quiet_hours[0].minutes()
    begins, ends = (begins - margin_s // 60) % 1440, (ends + margin_s // 60) % 1440
    return begins <= minute < ends if begins < ends else not ends <= minute < begins


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("rules", [NIGHT, DAYTIME], ids=["open at night", "open by day"])
async def test_nothing_comes_twice_and_nothing_in_quiet_hours(
    pool: asyncpg.Pool, server: StandInServer, rules: ContactRules
) -> None:
    await push_world.people(pool, PEOPLE)
    await pool.execute("update users set time_zone = ($1::text[])[user_id % 7 + 1]", list(ZONES))
    await pool.execute("update users set time_zone = null where user_id % 7 = 6")
    await pool.execute("update devices set last_seen_at = '2027-01-01'")
    await push_world.rules(pool, rules)
    await push_world.offer(pool)
    await Composer(pool).publish(push_world.NOW)
    snapshot = SnapshotCache(pool)
    await snapshot.refresh()
    channel = FcmChannel(server.account, base_url=server.url)
    await channel.open()
    machine = Machine(pool, snapshot, channel)
    for change in CHANGES:
        begins = datetime.combine(change - DAY, datetime.min.time())
        async with pool.acquire() as connection:
            await partitions_by_day.ensure(connection, begins.replace(tzinfo=UTC))
        given = {
            "starts_at": begins,
            "ends_at": begins + 3 * DAY,
            "default_time_zone": "Europe/Berlin",
            "holdout_share": 0.0,
        }
        for name in ("a", "b", "c"):
            await push_world.campaign(pool, f"{name}-{change}", spread_s=2400, ttl_s=86_400, **given)
        for at in instants(change):
            server.now = at
            await machine.live(at)
    await channel.close()
    found = await pool.fetch(
        "select state, case when state <> 3 then outcome end as why, count(*) from outbox group by 1, 2 order by 1, 2"
    )
    received = server.get("/inbox?after=0&limit=10000")["messages"]
    pushes = Counter((one["address"], one["tag"]) for one in received)
    assert set(pushes.values()) == {1}, "twice"
    told = {str(row[0]): f"ok-{row[1]}" for row in await pool.fetch("select outbox_id, user_id from outbox")}
    assert all(told[tag] == address for address, tag in pushes)
    arrivals: defaultdict[str, list[datetime]] = defaultdict(list)
    for one in received:
        arrivals[one["address"]].append(datetime.fromisoformat(one["received_at"]))
    for address, instants_of in arrivals.items():
        zone, margin_s = zone_of(address), 0 if zone_of(address) else rules.unknown_zone_margin_s
        clock = ZoneInfo(zone or "Europe/Berlin")
        assert [at for at in instants_of if is_quiet(at, clock, rules, margin_s)] == [], (address, "in quiet hours")
        days = Counter(at.astimezone(clock).date() for at in instants_of)
        assert max(days.values()) <= rules.caps[0].pushes_max, (address, days)
        in_order = sorted(instants_of)
        assert all(later - earlier >= timedelta(seconds=GAP_S) for earlier, later in pairwise(in_order)), address
        assert all(later - first > 7 * DAY for first, later in zip(in_order, in_order[3:], strict=False)), address
    # Enough came, also in the very hours that are told twice, for the test to mean something.
    assert len(arrivals) == PEOPLE, found
    assert len(received) > PEOPLE * len(CHANGES), found
