"""Rules of contact where they hold: in the draw, and in the transaction that claims; real PostgreSQL, the real channel, the stand-in."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from push.clock import standing
from push.contact import contact_rules, contacts
from push.drawing.due import DueDrawer
from push.fcm.channel import FcmChannel
from push.outbox import State
from push.planning.planner import Planner
from push.sending.dispatcher import Dispatcher
from schema.contact_rules import LONGEST_S, Cap, ContactRules, Limits, QuietHours
from service.decision import replay
from service.decision.policy import BUILT_IN
from service.learning.composer import Composer
from service.learning.learner import Learner
from service.planning.exposure_journal import EventLogJournal
from service.planning.moments import LearnedMoments
from service.planning.push_decider import PipelineDecider
from service.store import decisions, policy_log
from service.store.catalogue import CatalogueCache
from service.store.current_policy import PolicyCache
from service.store.current_snapshot import SnapshotCache
from service.store.identify import Profile, identify
from service.store.merged_state import merged
from service.store.people import USER, PersonKey, Speaker
from service.store.policy_log import Part
from service.store.pool import open_pool
from tests.contract.stand_in_server import StandInServer
from tests.integration import push_world
from tests.integration.push_world import HOUR, NOW, OFF, SEED, STARTS_AT, FirstOffer, ready, states

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


@pytest.fixture
def server() -> Iterator[StandInServer]:
    with StandInServer() as server:
        server.now = NOW
        yield server


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 8) as pool:
        yield pool


@pytest.fixture
async def channel(server: StandInServer) -> AsyncIterator[FcmChannel]:
    channel = FcmChannel(server.account, base_url=server.url)
    await channel.open()
    yield channel
    await channel.close()


@pytest.fixture
def dispatcher(pool: asyncpg.Pool, channel: FcmChannel) -> Dispatcher:
    return Dispatcher(pool, channel, EventLogJournal())


async def shop(pool: asyncpg.Pool, people: int, rules: ContactRules, prefix: str = "ok") -> int:
    """People, rules and an offer, whose id it gives."""
    await push_world.people(pool, people, prefix)
    await push_world.rules(pool, rules)
    return await push_world.offer(pool)


async def ready_for(pool: asyncpg.Pool, name: str, offer_id: int, people: int, **changes: Any) -> None:
    """A campaign, and a drawn push of it for everybody."""
    stored = await push_world.campaign(pool, name, **changes)
    await ready(pool, stored, range(1, people + 1), FirstOffer(offer_id))


async def outcomes(pool: asyncpg.Pool) -> Counter[str]:
    return Counter(row[0] for row in await pool.fetch("select outcome from outbox where state = 6"))


def ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


async def counted(pool: asyncpg.Pool, user_id: int) -> list[Any]:
    return await pool.fetchval("select sent from contacts where user_id = $1", user_id) or []


def gap(seconds: int) -> ContactRules:
    return ContactRules(quiet_hours=[], caps=[], min_gap_s=seconds)


def cap(*caps: Cap) -> ContactRules:
    return ContactRules(quiet_hours=[], caps=list(caps), min_gap_s=0)


async def test_many_dispatchers_of_many_campaigns_send_each_person_no_more_than_the_cap(
    pool: asyncpg.Pool, server: StandInServer, channel: FcmChannel
) -> None:
    offer_id = await shop(pool, 300, cap(Cap(pushes_max=2, within_s=86_400)))
    await pool.execute("insert into contacts (user_id) select n from generate_series(1, 150) n")
    for name in ("a", "b", "c", "d"):
        await ready_for(pool, name, offer_id, 300)
    await asyncio.gather(*(Dispatcher(pool, channel, EventLogJournal()).dispatch(standing(NOW)) for _ in range(6)))
    assert await states(pool) == {State.ACCEPTED: 600, State.WITHDRAWN: 600}
    received = Counter(one["address"] for one in server.get("/inbox?after=0&limit=5000")["messages"])
    assert set(received.values()) == {2}
    assert len(received) == 300
    assert await outcomes(pool) == {"cap_reached": 600}


async def test_two_pushes_of_one_batch_keep_their_distance(pool: asyncpg.Pool, dispatcher: Dispatcher) -> None:
    offer_id = await shop(pool, 5, gap(3600))
    await ready_for(pool, "a", offer_id, 5)
    await ready_for(pool, "b", offer_id, 5)
    await dispatcher.dispatch(standing(NOW))
    assert await states(pool) == {State.ACCEPTED: 5, State.WITHDRAWN: 5}
    await ready_for(pool, "c", offer_id, 5)
    await dispatcher.dispatch(standing(NOW + HOUR))
    assert await outcomes(pool) == {"too_soon": 10}, "it is an hour, not more"
    await ready_for(pool, "d", offer_id, 5)
    await dispatcher.dispatch(standing(NOW + HOUR + SECOND))
    assert (await states(pool))[State.ACCEPTED] == 10


async def test_what_was_surely_not_sent_is_given_back_and_what_may_have_been_stays(
    pool: asyncpg.Pool, server: StandInServer, dispatcher: Dispatcher
) -> None:
    offer_id = await shop(pool, 4, gap(3600))
    for user_id, address in ((1, "ok-1"), (2, "gone-2"), (3, "int-3"), (4, "down-4")):
        await pool.execute("update devices set address = $2 where user_id = $1", user_id, address)
    await ready_for(pool, "a", offer_id, 4)
    await dispatcher.dispatch(standing(NOW))
    found = {row[0]: State(row[1]) for row in await pool.fetch("select user_id, state from outbox")}
    assert found[1] is State.ACCEPTED
    assert found[2] is State.FAILED
    for user_id, state in found.items():
        assert len(await counted(pool, user_id)) == (state in {State.ACCEPTED, State.UNKNOWN}), (user_id, state)


async def test_a_message_that_never_left_is_counted_again_when_it_does(
    pool: asyncpg.Pool, database: str, server: StandInServer, channel: FcmChannel, dispatcher: Dispatcher
) -> None:
    offer_id = await shop(pool, 1, gap(3600))
    await ready_for(pool, "a", offer_id, 1)
    nowhere = FcmChannel(server.account, base_url="http://127.0.0.1:9")
    await nowhere.open()
    await Dispatcher(pool, nowhere, EventLogJournal()).dispatch(standing(NOW))
    await nowhere.close()
    assert await states(pool) == {State.READY: 1}
    assert await counted(pool, 1) == []
    await dispatcher.dispatch(standing(NOW + HOUR))
    assert await states(pool) == {State.ACCEPTED: 1}
    assert len(await counted(pool, 1)) == 1


async def test_a_claim_in_quiet_hours_waits_until_they_end_if_the_push_lives_so_long(
    pool: asyncpg.Pool, server: StandInServer, dispatcher: Dispatcher
) -> None:
    offer_id = await shop(pool, 2, ContactRules(quiet_hours=[QuietHours(begins="08:30", ends="11:00")], caps=[]))
    await ready_for(pool, "lives", offer_id, 2)
    short = await push_world.campaign(pool, "short", kind="transactional")
    await ready(pool, short, [1], FirstOffer(offer_id))
    await pool.execute("update outbox set send_until = $2 where campaign_id = $1", short.id, NOW + 2 * HOUR)
    await pool.execute("update users set time_zone = 'Europe/London', quiet_minutes = '{660,690}' where user_id = 2")
    assert await dispatcher.dispatch(standing(NOW)) == 3
    assert await dispatcher.dispatch(standing(NOW)) == 0
    assert server.app.posts == 0
    assert await states(pool) == {State.READY: 2, State.EXPIRED: 1}
    assert await pool.fetchval("select outcome from outbox where state = 5") == "quiet_hours"
    rows = dict(await pool.fetch("select user_id, send_at from outbox where state = 1"))
    for user_id, ends in ((1, NOW + 2 * HOUR), (2, NOW + 2.5 * HOUR)):
        assert ends <= rows[user_id] <= ends + timedelta(seconds=short.campaign.spread_s)
    assert await counted(pool, 1) == []
    assert await pool.fetchval("select max(attempts) from outbox") == 0
    await dispatcher.dispatch(standing(NOW + 2 * HOUR - SECOND))
    assert server.app.posts == 0
    await dispatcher.dispatch(standing(NOW + 3 * HOUR))
    assert (await states(pool))[State.ACCEPTED] == 2


async def test_a_phone_that_is_off_does_not_show_a_push_at_night(
    pool: asyncpg.Pool, server: StandInServer, dispatcher: Dispatcher
) -> None:
    offer_id = await shop(pool, 1, ContactRules(quiet_hours=[QuietHours(begins="11:00", ends="12:00")]))
    await ready_for(pool, "a", offer_id, 1)
    await dispatcher.dispatch(standing(NOW))
    (received,) = server.get("/inbox?after=0")["messages"]
    assert received["message"]["android"]["ttl"] == f"{2 * 3600}s"


async def test_just_before_quiet_hours_nothing_begins_to_leave(
    pool: asyncpg.Pool, server: StandInServer, dispatcher: Dispatcher
) -> None:
    offer_id = await shop(pool, 1, ContactRules(quiet_hours=[QuietHours(begins="09:01", ends="10:00")]))
    await ready_for(pool, "a", offer_id, 1)
    await dispatcher.dispatch(standing(NOW + SECOND))
    assert server.app.posts == 0
    assert await states(pool) == {State.READY: 1}


async def test_a_category_that_is_full_when_its_push_leaves_stops_it_alone(
    pool: asyncpg.Pool, dispatcher: Dispatcher
) -> None:
    coffee = await shop(pool, 2, cap(Cap(pushes_max=1, per="local_week", tag="coffee")))
    tea = await push_world.offer(pool, "tea")
    for name, offer_id in (("a", coffee), ("b", coffee), ("c", tea)):
        await ready_for(pool, name, offer_id, 2)
    await dispatcher.dispatch(standing(NOW))
    assert await states(pool) == {State.ACCEPTED: 4, State.WITHDRAWN: 2}
    assert await outcomes(pool) == {"category_cap_reached": 2}


async def test_what_is_transactional_is_neither_counted_nor_held_back(
    pool: asyncpg.Pool, dispatcher: Dispatcher
) -> None:
    offer_id = await shop(pool, 2, cap(Cap(pushes_max=1, per="local_day")))
    for name in ("r1", "r2"):
        await ready_for(pool, name, offer_id, 2, kind="transactional")
    await ready_for(pool, "m", offer_id, 2)
    await pool.execute("update users set opted_out_at = created_at where user_id = 2")
    await dispatcher.dispatch(standing(NOW))
    assert await states(pool) == {State.ACCEPTED: 3, State.WITHDRAWN: 3}
    assert await outcomes(pool) == {"opted_out": 3}
    assert len(await counted(pool, 1)) == 1


async def test_a_campaigns_own_rules_and_a_persons_own_hold_in_the_claim(
    pool: asyncpg.Pool, dispatcher: Dispatcher
) -> None:
    offer_id = await shop(pool, 3, OFF)
    await pool.execute("update users set pushes_per_week_max = 0 where user_id = 3")
    await pool.execute("insert into contacts values (2, $1)", [[int((NOW - DAY).timestamp() * 1000), "x", []]])
    strict = Limits(caps=[Cap(pushes_max=1, within_s=LONGEST_S)])
    await ready_for(pool, "a", offer_id, 3, contact=strict)
    await dispatcher.dispatch(standing(NOW))
    found = dict(await pool.fetch("select user_id, coalesce(outcome, 'sent') from outbox where state = 6"))
    assert found == {2: "cap_reached", 3: "cap_reached"}


async def test_rules_hold_from_the_first_claim_after_they_were_set(pool: asyncpg.Pool, dispatcher: Dispatcher) -> None:
    offer_id = await shop(pool, 1, OFF)
    await ready_for(pool, "a", offer_id, 1)
    await ready_for(pool, "b", offer_id, 1)
    await pool.execute(
        "update outbox set send_at = $1 where campaign_id = (select campaign_id from campaigns where external_id = 'b')",
        NOW + HOUR,
    )
    await dispatcher.dispatch(standing(NOW))
    async with pool.acquire() as connection, connection.transaction():
        await contacts.put(connection, gap(2 * 3600), NOW, "test")
    await dispatcher.dispatch(standing(NOW + HOUR))
    assert await outcomes(pool) == {"too_soon": 1}


async def test_of_two_people_who_are_one_all_contacts_count(pool: asyncpg.Pool, dispatcher: Dispatcher) -> None:
    offer_id = await shop(pool, 2, cap(Cap(pushes_max=2, per="local_day")))
    await pool.execute("insert into identities values (0, 'ann', 1, $1), (1, 'phone', 2, $1)", NOW)
    await pool.execute("update users set quiet_minutes = '{60,120}', pushes_per_day_max = 5 where user_id = 1")
    await pool.execute("update users set quiet_minutes = '{180,240}', pushes_per_day_max = 4 where user_id = 2")
    await ready_for(pool, "a", offer_id, 2)
    await dispatcher.dispatch(standing(NOW))
    async with pool.acquire() as connection:
        speaker = Speaker(PersonKey(USER, "ann"))
        await identify(connection, speaker, "phone", Profile(None, None, None, {}), NOW, merge_state=merged)
    assert len(await counted(pool, 1)) == 2
    assert await pool.fetchval("select count(*) from contacts") == 1
    own = await pool.fetchrow("select quiet_minutes, pushes_per_day_max from users where user_id = 1")
    assert tuple(own) == ([60, 120, 180, 240], 4)
    stored = await push_world.campaign(pool, "b")
    await ready(pool, stored, [1], FirstOffer(offer_id))
    await dispatcher.dispatch(standing(NOW))
    assert await outcomes(pool) == {"cap_reached": 1}


async def test_what_was_claimed_for_somebody_merged_meanwhile_is_given_back_to_whom_they_became(
    pool: asyncpg.Pool,
) -> None:
    await push_world.people(pool, 2)
    row = "11111111-1111-7111-8111-111111111111"
    await pool.execute("update users set merged_into = 1 where user_id = 2")
    await pool.execute("insert into contacts values (1, $1)", [[1, "other", []], [2, row, ["coffee"]]])
    async with pool.acquire() as connection:
        await contacts.give_back(connection, [(2, row)])
        await contacts.give_back(connection, [(2, row)])
    assert await counted(pool, 1) == [[1, "other", []]]


async def test_claims_and_settlements_crossing_each_other_and_merges_end(
    pool: asyncpg.Pool, server: StandInServer, channel: FcmChannel
) -> None:
    """Dispatchers of the same people, some of whose messages are refused and given back, while strangers become known."""
    people = 200
    offer_id = await shop(pool, people, cap(Cap(pushes_max=2, within_s=3600)))
    await pool.execute("update devices set address = 'gone-' || user_id where user_id % 3 = 0")
    await pool.execute(
        "insert into identities select n % 2, 'name ' || (n / 2), n + 1, $1 from generate_series(0, 199) n", NOW
    )
    for name in ("a", "b", "c"):
        await ready_for(pool, name, offer_id, people)

    async def merge_all() -> None:
        for number in range(60):
            async with pool.acquire() as connection:
                speaker, profile = Speaker(PersonKey(USER, f"name {number}")), Profile(None, None, None, {})
                await identify(connection, speaker, f"name {number}", profile, NOW, merge_state=merged)

    sending = [Dispatcher(pool, channel, EventLogJournal()).dispatch(standing(NOW)) for _ in range(5)]
    await asyncio.wait_for(asyncio.gather(merge_all(), *sending), 60)
    received = Counter(one["address"] for one in server.get("/inbox?after=0&limit=5000")["messages"])
    assert max(received.values()) == 2
    assert await push_world.open_count(pool, NOW) == 0
    alive = "select count(*) from contacts join users using (user_id) where merged_into is not null"
    assert await pool.fetchval(alive) == 0


async def test_a_veto_before_the_claim_stops_the_push_and_after_it_the_next(
    pool: asyncpg.Pool, server: StandInServer, channel: FcmChannel
) -> None:
    """The claim is the line: what is acknowledged before it never leaves; between it and the first byte a push is on its way."""
    offer_id = await shop(pool, 2, OFF)
    await ready_for(pool, "a", offer_id, 2)
    await ready_for(pool, "b", offer_id, 2)
    await pool.execute(
        "update outbox set send_at = send_at + interval '1 minute' where campaign_id = (select campaign_id from campaigns where external_id = 'b')"
    )
    await pool.execute("update users set vetoed_offer_ids = array[$1::int] where user_id = 1", offer_id)

    class VetoesOnTheWay(FcmChannel):
        async def send(self, messages: Any, now: datetime) -> Any:
            await pool.execute("update users set vetoed_offer_ids = array[$1::int] where user_id = 2", offer_id)
            return await super().send(messages, now)

    late = VetoesOnTheWay(server.account, base_url=server.url)
    await late.open()
    dispatcher = Dispatcher(pool, late, EventLogJournal())
    await dispatcher.dispatch(standing(NOW))
    await dispatcher.dispatch(standing(NOW + HOUR))
    await late.close()
    assert [one["address"] for one in server.get("/inbox?after=0")["messages"]] == ["ok-2"]
    assert await outcomes(pool) == {"vetoed": 3}


async def test_claims_wait_for_each_other_where_they_meet_a_person(pool: asyncpg.Pool, dispatcher: Dispatcher) -> None:
    """Whoever counts holds the row: another claim sees what was counted before it, not beside it."""
    offer_id = await shop(pool, 1, gap(60))
    await ready_for(pool, "a", offer_id, 1)
    await pool.execute("insert into contacts (user_id) values (1)")
    async with pool.acquire() as other, other.transaction():
        await contacts.hold(other, [1])
        claiming = asyncio.create_task(dispatcher.dispatch(standing(NOW)))
        await asyncio.sleep(0.2)
        assert not claiming.done()
        await contacts.write(other, {1: []})
    assert await claiming == 1
    assert await states(pool) == {State.ACCEPTED: 1}


async def drawn(pool: asyncpg.Pool, name: str, people: int, **changes: Any) -> dict[int, Any]:
    """A push each, drawn by the real pipeline; the decisions by person."""
    stored = await push_world.campaign(pool, name, holdout_share=0.0, control_share=0.0, **changes)
    async with pool.acquire() as connection:
        await push_world.planned(connection, stored, range(1, people + 1))
    snapshot = SnapshotCache(pool)
    if await snapshot.refresh() is None:
        await Composer(pool).publish(NOW)
        await snapshot.refresh()
    decider = PipelineDecider(CatalogueCache(), snapshot, PolicyCache(pool, BUILT_IN))
    assert await DueDrawer(pool, decider, SEED).draw_due(standing(NOW)) == people
    rows = await pool.fetch("select * from decisions where campaign_id = $1", stored.id)
    return {row["user_id"]: row for row in rows}


async def test_the_draw_leaves_in_peace_who_has_had_enough_and_says_why(pool: asyncpg.Pool) -> None:
    rules = ContactRules(quiet_hours=[], caps=[Cap(pushes_max=1, per="local_week")], min_gap_s=3600)
    await shop(pool, 4, rules)
    for user_id, ago in ((2, DAY / 3), (3, HOUR / 2)):
        await pool.execute("insert into contacts values ($1, $2)", user_id, [[ms(NOW - ago), "x", ["coffee"]]])
    await pool.execute("update users set quiet_minutes = '{480,600}' where user_id = 4")
    found = await drawn(pool, "a", 4)
    assert {user_id: row["reason_codes"] for user_id, row in found.items()} == {
        1: [],
        2: ["cap_reached"],
        3: ["cap_reached"],
        4: ["quiet_hours"],
    }
    assert all(row["offer_ids"] == [] and row["action"] == 0 for user_id, row in found.items() if user_id > 1)
    assert dict(await pool.fetch("select user_id, outcome from outbox where state = 8")) == {
        2: "cap_reached",
        3: "cap_reached",
        4: "quiet_hours",
    }
    await push_world.rules(pool, gap(3600))
    assert (await drawn(pool, "b", 3))[3]["reason_codes"] == ["too_soon"]


async def test_offers_of_a_category_that_is_full_are_masked_before_the_pmf(pool: asyncpg.Pool) -> None:
    coffee = await shop(pool, 60, cap(Cap(pushes_max=1, per="local_week", tag="coffee")))
    tea = await push_world.offer(pool, "tea")
    both = await push_world.offer(pool, "both", tags=["coffee", "cake"])
    for user_id in range(1, 31):
        await pool.execute("insert into contacts values ($1, $2)", user_id, [[ms(NOW), "x", ["coffee"]]])
    found = await drawn(pool, "a", 60)
    masked = {row["eligible"] for user_id, row in found.items() if user_id <= 30}
    free = {row["eligible"] for user_id, row in found.items() if user_id > 30}
    assert (masked, free) == ({bytes([0b010])}, {bytes([0b111])})
    assert all(
        (row["offer_ids"], row["propensities"]) == ([tea], [1.0]) for user_id, row in found.items() if user_id <= 30
    )
    assert {row["offer_ids"][0] for user_id, row in found.items() if user_id > 30} == {coffee, tea, both}
    async with pool.acquire() as connection:
        for row in found.values():
            logged = decisions.of_row(row)
            again = await replay.redraw(connection, CatalogueCache(), logged)
            assert replay.compare(logged, again).identical


async def test_what_is_withdrawn_by_a_cap_is_decided_but_not_learned_from(
    pool: asyncpg.Pool, dispatcher: Dispatcher
) -> None:
    await shop(pool, 40, gap(3600))
    for name in ("a", "b"):
        await drawn(pool, name, 40)
    ready_rows = (await states(pool))[State.READY]
    await dispatcher.dispatch(standing(NOW))
    found = await states(pool)
    assert found[State.WITHDRAWN] > 20
    assert found[State.ACCEPTED] + found[State.WITHDRAWN] == ready_rows
    await Learner(pool, CatalogueCache()).catch_up(NOW + HOUR)
    assert await pool.fetchval("select count(*) from exposures") == found[State.ACCEPTED]
    windows = await pool.fetchval("select count(*) from push_windows where is_sent")
    assert windows == found[State.ACCEPTED]
    part = Part(NOW - HOUR, NOW + HOUR)
    async with pool.acquire() as connection:
        followed = [one async for block in policy_log.blocks(connection, part) for one in block]
    withdrawn = {row[0] for row in await pool.fetch("select decision_id from outbox where state = 6")}
    kept = [one for one in followed if one.logged.decision_id in withdrawn]
    assert len(kept) == len(withdrawn), "what was decided stays in the log of an evaluation"
    assert all(one.answered == {} for one in kept), "where it earned nothing"


async def test_planning_keeps_out_of_quiet_hours(pool: asyncpg.Pool) -> None:
    await push_world.people(pool, 400, zone="Europe/Berlin")
    await push_world.rules(pool, ContactRules())
    await pool.execute("update users set time_zone = null where user_id > 300")
    await pool.execute("update users set quiet_minutes = '{735,900}' where user_id <= 100")
    await Composer(pool).publish(NOW)
    snapshot = SnapshotCache(pool)
    await snapshot.refresh()
    await push_world.campaign(pool, default_time_zone="Europe/Berlin", spread_s=1800)
    assert await Planner(pool, LearnedMoments(snapshot), SEED).plan_due(STARTS_AT.replace(tzinfo=UTC) - 2 * HOUR) == 400
    clock = ZoneInfo("Europe/Berlin")
    rows = await pool.fetch("select user_id, send_at from outbox")
    hours = {row["user_id"]: row["send_at"].astimezone(clock).hour for row in rows}
    assert set(hours.values()) == set(range(8, 21))
    assert {hour for user_id, hour in hours.items() if user_id <= 100} == {*range(8, 12), *range(15, 21)}
    assert {hour for user_id, hour in hours.items() if user_id > 300} == set(range(10, 19))


async def test_by_default_there_are_rules(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        found = await contacts.read(connection)
    assert (found.version, found.rules, found.set_by) == (0, ContactRules(), None)


async def test_what_no_rule_asks_for_any_more_is_forgotten_whoever_is_being_claimed_for_is_not(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contacts, "_PURGE_ROWS", 2)
    now_ms, day_ms = contact_rules.milliseconds(NOW), 86_400_000
    kept = {1: [9], 2: [7, 9], 3: [], 4: [8], 5: [30], 6: [0]}  # by person, days ago
    for person, ages in kept.items():
        sent = [[now_ms - age * day_ms, f"push-{age}", []] for age in ages]
        await pool.execute("insert into contacts (user_id, sent) values ($1, $2)", person, sent)
    async with pool.acquire() as claiming, pool.acquire() as purging:
        async with claiming.transaction():
            await contacts.hold(claiming, [5])
            await contacts.purge(purging, NOW)
        left = "select array_agg(user_id order by user_id) from contacts"
        assert await purging.fetchval(left) == [2, 5, 6]
        await contacts.purge(purging, NOW)
        assert await purging.fetchval(left) == [2, 6]
