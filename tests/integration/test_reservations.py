"""Offers that have an end: promised to people as they are drawn, never beyond it, and taken back from those who were not told."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest
from msgspec.structs import replace

from bandits.policies.model import Model, from_snapshot
from push import agenda, outbox
from push import release as release_statement
from push.campaign import campaigns
from push.channel import Accepted, Message, Outcome, Unknown, Unregistered
from push.clock import standing
from push.decider import Due
from push.drawing.due import DueDrawer
from push.release import release
from push.sending import endings
from push.sending.dispatcher import Dispatcher
from schema.campaign import StoredCampaign
from schema.decision import Channel
from schema.ids import stable_entropy
from schema.redemption import NewRedemption
from service.decision import replay
from service.decision.policy import BUILT_IN
from service.errors import ApiError
from service.ingest import till
from service.ingest.till import Wish
from service.learning.composer import Composer
from service.planning.exposure_journal import EventLogJournal
from service.planning.push_decider import PipelineDecider
from service.store import allowances, catalogue, decisions, merge, redemptions, reservations
from service.store.allowances import holder_of
from service.store.catalogue import CatalogueCache
from service.store.current_policy import PolicyCache
from service.store.current_snapshot import SnapshotCache
from service.store.merged_state import merged
from service.store.people import USER, PersonKey, Speaker
from service.store.pool import open_pool
from tests.integration import decision_world, push_world
from tests.integration.push_world import HOUR, NOW, SEED
from tests.integration.reservation_world import asks, assert_in_balance, decide, stands, told

PEOPLE = 60
OPEN_TO_ALL = {"holdout_share": 0.0, "control_share": 0.0}


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 8) as pool:
        await push_world.people(pool, PEOPLE)
        yield pool


@pytest.fixture
async def model(pool: asyncpg.Pool) -> Model:
    return from_snapshot(await decision_world.publish(pool, NOW - HOUR))


async def test_no_more_is_promised_than_there_is_and_every_propensity_is_that_of_its_mask(
    pool: asyncpg.Pool, model: Model
) -> None:
    few = await push_world.offer(pool, "few", redemptions_max=7)
    await push_world.offer(pool, "many")
    people = range(1, PEOPLE + 1)
    decided = await decide(pool, model, asks(Channel.PUSH, people, "first"), people)
    assert told(decided)["few"] == 7
    assert (await stands(pool, few)).count_left == 0
    gone = next(
        place
        for place, one in enumerate(decided)
        if sum(told(decided[: place + 1]).values()) and told(decided[:place])["few"] == 7
    )
    pmfs = [one.draw.pmf for one in decided if one.draw is not None]
    assert min(pmf.min() for pmf in pmfs[:gone]) > 0.0
    assert {len(pmf) for pmf in pmfs[:gone]} == {2}
    assert {len(pmf) for pmf in pmfs[gone:]} == {1}  # the many alone
    async with pool.acquire() as connection:
        for one in decided:
            logged = await decisions.read(connection, one.person.user_id, one.decision_id)
            assert logged is not None
            again = await replay.redraw(connection, CatalogueCache(), logged)
            assert replay.compare(logged, again).identical
    await assert_in_balance(pool)


async def test_in_one_batch_only_what_is_scarce_is_drawn_under_what_is_left(pool: asyncpg.Pool, model: Model) -> None:
    few = await push_world.offer(pool, "few", redemptions_max=3)
    many = await push_world.offer(pool, "many")
    people = range(1, PEOPLE + 1)
    mixed = [
        replace(ask, candidates=(few,) if n % 2 else (many,))
        for n, ask in zip(people, asks(Channel.IN_APP, people, "mixed"), strict=True)
    ]
    decided = await decide(pool, model, mixed, people)
    assert [one.person.user_id for one in decided] == list(people)
    assert told(decided) == {"few": 3, "many": PEOPLE // 2}
    for one in decided:
        assert all((held is None) == (one.person.user_id % 2 == 0) for held in one.reserved)
        assert one.offer_indices or one.reason_codes == ("sold_out",)
    assert await pool.fetchval("select count(*) from decisions") == PEOPLE
    await assert_in_balance(pool)


async def test_batches_at_once_never_promise_more_than_there_is(pool: asyncpg.Pool, model: Model) -> None:
    names = ["a", "b", "c", "d"]
    ids = [await push_world.offer(pool, name, redemptions_max=10 + 3 * n) for n, name in enumerate(names)]
    people = list(range(1, PEOPLE + 1))
    shares = [people[n::6] for n in range(6)]
    rounds = [
        decide(pool, model, asks(channel, mine, f"{channel}-{turn}"), mine)
        for turn in range(2)
        for channel in Channel
        for mine in shares
    ]
    decided = [one for batch in await asyncio.gather(*rounds) for one in batch]
    for n, offer_id in enumerate(ids):
        assert (await stands(pool, offer_id)).reserved == 10 + 3 * n
    silent = [one for one in decided if one.reason_codes == ("sold_out",)]
    assert silent
    assert all(one.reserved != (None,) for one in decided if one.offer_indices)
    await assert_in_balance(pool)


async def test_a_person_holds_one_promise_of_an_offer_however_often_they_are_told(
    pool: asyncpg.Pool, model: Model
) -> None:
    only = await push_world.offer(pool, "only", redemptions_max=1)
    (first,) = await decide(pool, model, asks(Channel.IN_APP, [1], "one"), [1])
    (again,) = await decide(pool, model, asks(Channel.PUSH, [1], "two"), [1], NOW + timedelta(minutes=1))
    (nobody,) = await decide(pool, model, asks(Channel.IN_APP, [2], "one"), [2])
    assert first.reserved[0] is not None
    assert again.reserved[0] is not None
    assert first.reserved[0].reservation_id == again.reserved[0].reservation_id
    assert first.reserved[0].expires_at == NOW + timedelta(minutes=15)
    assert again.reserved[0].expires_at == NOW + timedelta(minutes=1, hours=72)
    assert (nobody.offer_indices, nobody.reason_codes) == ((), ("sold_out",))
    assert (await stands(pool, only)).reserved == 1


async def test_what_ran_out_is_there_for_the_next(pool: asyncpg.Pool, model: Model) -> None:
    only = await push_world.offer(pool, "only", redemptions_max=1, ends_at=NOW + 2 * HOUR)
    (one,) = await decide(pool, model, asks(Channel.PUSH, [1], "one"), [1])
    assert one.reserved[0] is not None
    assert one.reserved[0].expires_at == NOW + 2 * HOUR  # the offer's own end
    async with pool.acquire() as connection:
        assert not (await agenda.look(connection, NOW + HOUR)).has_to_release
        await reservations.expire(connection, NOW + HOUR)
        assert (await stands(pool, only)).reserved == 1
        assert (await agenda.look(connection, NOW + 2 * HOUR)).has_to_release
        await reservations.expire(connection, NOW + 2 * HOUR)
        assert (await stands(pool, only)).reserved == 0
        assert not (await agenda.look(connection, NOW + 2 * HOUR)).has_to_release
        await reservations.purge(connection, NOW + timedelta(days=91))
    assert await pool.fetchval("select count(*) from reservations") == 0
    await assert_in_balance(pool)


async def test_a_budget_is_spent_to_what_no_more_discount_fits_into(pool: asyncpg.Pool, model: Model) -> None:
    dear = await push_world.offer(pool, "dear", discount_type="amount", discount_minor=30, budget_minor=100)
    people = range(1, PEOPLE + 1)
    decided = await decide(pool, model, asks(Channel.PUSH, people, "one"), people)
    assert told(decided)["dear"] == 3
    stood = await stands(pool, dear)
    assert (stood.reserved_minor, stood.minor_left) == (90, 10)


@pytest.fixture
async def snapshot(pool: asyncpg.Pool) -> SnapshotCache:
    assert await Composer(pool).publish(NOW - HOUR)
    cache = SnapshotCache(pool)
    await cache.refresh()
    return cache


def decider(pool: asyncpg.Pool, snapshot: SnapshotCache) -> PipelineDecider:
    return PipelineDecider(CatalogueCache(), snapshot, PolicyCache(pool, BUILT_IN))


async def drawn(pool: asyncpg.Pool, snapshot: SnapshotCache, people: Sequence[int], **body: Any) -> StoredCampaign:
    """A campaign whose pushes are drawn."""
    async with pool.acquire() as connection:
        stored = await push_world.campaign(connection, **OPEN_TO_ALL | body)
        await push_world.planned(connection, stored, people)
        await connection.execute("update allowances set ends_at = null")  # without a time to last there is no price
    await DueDrawer(pool, decider(pool, snapshot), SEED).draw_due(standing(NOW))
    return stored


async def test_a_campaign_s_budget_is_kept_by_all_its_offers_together(
    pool: asyncpg.Pool, snapshot: SnapshotCache
) -> None:
    ids = [await push_world.offer(pool, name, discount_type="amount", discount_minor=40) for name in ("a", "b")]
    await push_world.offer(pool, "foreign", discount_type="amount", discount_minor=1, currency="EUR")
    stored = await drawn(pool, snapshot, range(1, PEOPLE + 1), budget_minor=390)
    assert await pool.fetchval("select count(*) from outbox where state = 1") == 9
    assert await pool.fetchval("select count(*) from outbox where outcome = 'sold_out'") == PEOPLE - 9
    async with pool.acquire() as connection:
        found = await allowances.read(connection, [stored.id, *map(holder_of, ids)])
    assert found[stored.id].minor_left == 30
    assert sum(found[holder_of(one)].reserved for one in ids) == 9
    await assert_in_balance(pool)


async def test_drawers_of_several_campaigns_at_once_do_not_wait_in_a_circle(
    pool: asyncpg.Pool, snapshot: SnapshotCache
) -> None:
    ids = [await push_world.offer(pool, name, redemptions_max=25) for name in "abc"]
    async with pool.acquire() as connection:
        for name in ("one", "two", "three"):
            stored = await push_world.campaign(connection, name, **OPEN_TO_ALL)
            await push_world.planned(connection, stored, range(1, PEOPLE + 1))
    drawers = [DueDrawer(pool, decider(pool, snapshot), SEED) for _ in range(4)]
    await asyncio.gather(*(drawer.draw_due(standing(NOW)) for drawer in drawers))
    assert [(await stands(pool, one)).reserved for one in ids] == [25, 25, 25]
    assert await pool.fetchval("select count(*) from outbox where state = 0") == 0
    await assert_in_balance(pool)


class Answering:
    """A channel that answers the first messages as told, and takes the rest."""

    name = "answering"

    def __init__(self, outcomes: list[Outcome]) -> None:
        self._outcomes = outcomes

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, messages: Sequence[Message], now: datetime) -> list[Outcome]:
        told = self._outcomes[: len(messages)]
        return told + [Accepted(message.outbox_id) for message in messages[len(told) :]]


async def test_pushes_that_are_withdrawn_expired_or_failed_give_back_what_they_promised(
    pool: asyncpg.Pool, snapshot: SnapshotCache
) -> None:
    few = await push_world.offer(pool, "few", redemptions_max=20)
    await drawn(pool, snapshot, range(1, 11))
    reserved = (await stands(pool, few)).reserved
    going = await pool.fetchval("select count(*) from outbox where state = 1")
    assert reserved == going
    (vetoing, *_) = await pool.fetch("select user_id from outbox where state = 1 order by user_id")
    await pool.execute("update users set vetoed_offer_ids = array[$2::int] where user_id = $1", vetoing[0], few)
    outcomes: list[Outcome] = [Unregistered(), Unknown("timeout")]
    await Dispatcher(pool, Answering(outcomes), EventLogJournal()).dispatch(standing(NOW))
    assert await pool.fetchval("select count(*) from outbox where state = 3") == going - 3
    assert (await stands(pool, few)).reserved == going - 2  # not those of the veto and of the dead token
    keys = [
        outbox.Key(*row)
        for row in await pool.fetch("select user_id, campaign_id, occurrence_at from outbox where state = 4")
    ]
    async with pool.acquire() as connection:
        await release(connection, keys)  # once more
    assert (await stands(pool, few)).reserved == going - 2
    await assert_in_balance(pool)


async def test_a_push_that_could_not_leave_in_time_gives_back_what_it_promised(
    pool: asyncpg.Pool, snapshot: SnapshotCache
) -> None:
    few = await push_world.offer(pool, "few", redemptions_max=20)
    await drawn(pool, snapshot, range(1, 11))
    async with pool.acquire() as connection:
        assert (await stands(pool, few)).reserved > 0
        await release(connection, await endings.expire(connection, NOW + 24 * HOUR))
    assert (await stands(pool, few)).reserved == 0
    await assert_in_balance(pool)


async def test_the_end_of_a_campaign_gives_back_but_not_what_the_app_has_shown(
    pool: asyncpg.Pool, snapshot: SnapshotCache, model: Model
) -> None:
    few = await push_world.offer(pool, "few", redemptions_max=20)
    stored = await drawn(pool, snapshot, range(1, 11))
    (shown,) = await pool.fetch("select user_id from outbox where state = 1 order by user_id limit 1")
    await decide(pool, model, asks(Channel.IN_APP, [shown[0]], "shown"), [shown[0]])
    async with pool.acquire() as connection:
        await campaigns.set_status(connection, stored.campaign.campaign_id, "ended", NOW)
    assert (await stands(pool, few)).reserved == 1
    assert await pool.fetchval("select user_id from reservations where state = 0") == shown[0]
    await assert_in_balance(pool)


async def test_nothing_is_promised_to_the_holdout(pool: asyncpg.Pool, snapshot: SnapshotCache) -> None:
    few = await push_world.offer(pool, "few", redemptions_max=20)
    await drawn(pool, snapshot, range(1, PEOPLE + 1), holdout_share=0.5)
    silent = await pool.fetchval("select count(*) from outbox where state = 8 and outcome = 'holdout'")
    assert silent > 10
    ready = await pool.fetchval("select count(*) from outbox where state = 1")
    assert (await stands(pool, few)).reserved == ready <= 20


async def test_of_two_promises_to_one_person_one_stays(pool: asyncpg.Pool, model: Model) -> None:
    few = await push_world.offer(pool, "few", redemptions_max=20)
    other = await push_world.offer(pool, "other", redemptions_max=20)
    for offer_id, people in ((few, [1, 2]), (other, [2])):
        asked = asks(Channel.IN_APP, people, f"{offer_id}", candidates=(offer_id,))
        await decide(pool, model, asked, people)
    async with pool.acquire() as connection, connection.transaction():
        await merge.merge(connection, 1, 2, NOW, merged)
    rows = await pool.fetch("select user_id, offer_id, state from reservations order by offer_id, state")
    assert [tuple(row) for row in rows] == [(1, few, 0), (1, few, 2), (1, other, 0)]
    assert ((await stands(pool, few)).reserved, (await stands(pool, other)).reserved) == (1, 1)
    await assert_in_balance(pool)


async def test_what_both_were_told_of_holds_for_the_one_they_are(
    pool: asyncpg.Pool, snapshot: SnapshotCache, model: Model
) -> None:
    """One of the pushes fails, the other is on the phone: its promise holds, and the till takes it by either reservation."""
    few = await push_world.offer(pool, "few", redemptions_max=20)
    await drawn(pool, snapshot, range(1, 11), name="one")
    await drawn(pool, snapshot, range(11, 21), name="two")
    ready = "select user_id, message from outbox where state = 1 and user_id between $1 and $2 order by user_id limit 1"
    kept, first = await pool.fetchrow(ready, 1, 10)
    lost, second = await pool.fetchrow(ready, 11, 20)
    first, second = (msgspec.json.decode(message) for message in (first, second))
    decided = {one["data"]["decision_id"] for one in (first, second)}
    await pool.execute("delete from outbox where user_id not in ($1, $2)", kept, lost)
    await pool.execute("update reservations set expires_at = expires_at - interval '1 h' where user_id = $1", kept)
    await pool.execute("update outbox set send_at = $2 where user_id = $1", kept, NOW + HOUR)
    assert await Dispatcher(pool, Answering([]), EventLogJournal()).dispatch(standing(NOW)) == 1
    async with pool.acquire() as connection, connection.transaction():
        await merge.merge(connection, kept, lost, NOW, merged)
    (held,) = await pool.fetch("select * from reservations where user_id = $1 and state = 0", kept)
    assert held["expires_at"] == NOW + timedelta(hours=72)
    assert set(map(str, held["held_by"])) == decided
    await Dispatcher(pool, Answering([Unregistered()]), EventLogJournal()).dispatch(standing(NOW + HOUR))
    async with pool.acquire() as connection, connection.transaction():
        shop = await catalogue.load(connection)
        ids = [UUID(one["data"]["reservation_id"]) for one in (first, second)]
        (released,) = set(ids) - {held["reservation_id"]}
        await till.redeem(connection, Wish(NewRedemption(reservation_id=released), None, bytes(10), NOW), shop)
        with pytest.raises(ApiError, match="released"):
            await till.redeem(connection, Wish(NewRedemption(reservation_id=released), None, bytes(10), NOW), shop)
    assert (await stands(pool, few)).redeemed == 1
    await assert_in_balance(pool)


async def test_a_lowered_limit_promises_no_more_and_keeps_what_was_promised(pool: asyncpg.Pool, model: Model) -> None:
    few = await push_world.offer(pool, "few", redemptions_max=20)
    await decide(pool, model, asks(Channel.IN_APP, range(1, 6), "one"), range(1, 6))
    await push_world.offer(pool, "few", redemptions_max=3)
    (one,) = await decide(pool, model, asks(Channel.IN_APP, [9], "two"), [9])
    assert one.reason_codes == ("sold_out",)
    stood = await stands(pool, few)
    assert (stood.reserved, stood.count_left) == (5, -2)
    await push_world.offer(pool, "few")
    (one,) = await decide(pool, model, asks(Channel.IN_APP, [9], "three"), [9])
    assert told([one]) == {"few": 1}
    assert one.reserved == (None,)


async def test_a_draft_tells_what_is_reserved(pool: asyncpg.Pool, snapshot: SnapshotCache) -> None:
    await push_world.offer(pool, "few", redemptions_max=20)
    async with pool.acquire() as connection:
        stored = await push_world.campaign(connection, **OPEN_TO_ALL)
        due = [Due(n, NOW, UUID(int=n), stable_entropy(n.to_bytes(8))) for n in range(1, 11)]
        made = await decider(pool, snapshot).decide(connection, [(stored, due)], NOW)
        open_ones = await reservations.open_of(connection, range(1, 11))
    told_of = {one.draft.data["reservation_id"] for one in made if one.draft is not None}
    assert told_of == {str(one.reservation_id) for one in open_ones}


_PAST = """
    insert into reservations (user_id, reservation_id, offer_id, taken_from, discount_minor, state, made_at, expires_at, held_by)
    select n % 50 + 1, gen_random_uuid(), $1, array[holder_of($1)], 0, 1 + n % 2, $2, $2, array[gen_random_uuid()]
      from generate_series(1, 30000) n
"""


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_no_query_reads_what_is_past(pool: asyncpg.Pool, mode: str) -> None:
    offer_id = await push_world.offer(pool, redemptions_max=5)
    async with pool.acquire() as connection:
        await connection.execute(_PAST, offer_id, NOW)
        await connection.execute("analyze")
        await connection.execute(f"set plan_cache_mode to {mode}")
        one, many = UUID(int=1), [UUID(int=1)]
        for query, arguments in (
            (reservations._OPEN, ([1, 2],)),
            (reservations._EXTEND, ([1], many, [NOW], many)),
            (reservations._EXPIRE, (NOW, 100)),
            (reservations._HOLD_OF, ([1, 2],)),
            (release_statement._RELEASE, ([1], many, [NOW], 1, NOW, NOW)),
            (redemptions._RESERVATION, (one,)),
            (redemptions._OPEN_OF, (1, offer_id)),
            (redemptions._CLOSE, (1, one)),
            (redemptions._REOPEN, (1, one)),
            (redemptions._FIND, (one,)),
        ):
            plan = "\n".join(row[0] for row in await connection.fetch("explain " + query, *arguments))
            assert "Seq Scan on reservations" not in plan, f"{query}\n{plan}"


async def test_a_push_whose_promise_is_gone_is_not_sent(pool: asyncpg.Pool, snapshot: SnapshotCache) -> None:
    """It ran out while the push waited, or was redeemed already."""
    await push_world.offer(pool, "few", redemptions_max=20)
    await drawn(pool, snapshot, range(1, 11))
    ready = [row[0] for row in await pool.fetch("select user_id from outbox where state = 1 order by 1")]
    await pool.execute("update reservations set state = 1 where user_id = $1", ready[0])
    await pool.execute("update reservations set expires_at = $2 where user_id = $1", ready[1], NOW)
    await Dispatcher(pool, Answering([]), EventLogJournal()).dispatch(standing(NOW))
    stopped = await pool.fetch("select user_id, outcome from outbox where state = 6 order by 1")
    assert [tuple(row) for row in stopped] == [(ready[0], "not_reserved"), (ready[1], "not_reserved")]
    assert await pool.fetchval("select count(*) from outbox where state = 3") == len(ready) - 2


async def test_what_the_person_s_store_does_not_give_is_not_pushed(pool: asyncpg.Pool, snapshot: SnapshotCache) -> None:
    await push_world.offer(pool, "here", store_ids=["s1"])
    await push_world.offer(pool, "there", store_ids=["s2"])
    await push_world.offer(pool, "not-here", exclude_store_ids=["s1"])
    await pool.execute("update users set traits = $1 where user_id <= 30", {"store_id": "s1"})
    await drawn(pool, snapshot, range(1, PEOPLE + 1))
    rows = await pool.fetch("""
        select o.user_id <= 30 as is_near, f.external_id as name, count(*) as n
          from outbox o join offers f using (offer_id) where o.state = 1 group by 1, 2
    """)
    assert {(row["is_near"], row["name"]) for row in rows} == {(True, "here"), (False, "not-here")}


async def test_deciding_redeeming_releasing_and_merging_at_once_wait_for_nobody_in_a_circle(
    pool: asyncpg.Pool, snapshot: SnapshotCache, model: Model
) -> None:
    for name in "abcd":
        await push_world.offer(pool, name, redemptions_max=40, code=name.upper())
    async with pool.acquire() as connection:
        for name in ("one", "two"):
            stored = await push_world.campaign(connection, name, **OPEN_TO_ALL)
            await push_world.planned(connection, stored, range(1, PEOPLE + 1))
        shop = await catalogue.load(connection)
        await connection.execute("insert into identities select 0, external_id, user_id, $1 from users", NOW)
    refused: Counter[str] = Counter()

    async def redeem(n: int) -> None:
        wish = NewRedemption(user_id=f"user {n % PEOPLE + 1}", code="ABCD"[n % 4])
        speaker = Speaker(PersonKey(USER, f"user {n % PEOPLE + 1}"))
        try:
            async with pool.acquire() as connection, connection.transaction():
                await till.redeem(connection, Wish(wish, speaker, n.to_bytes(10), NOW), shop)
        except ApiError as error:
            refused[error.code] += 1

    async def sweep(n: int) -> None:
        async with pool.acquire() as connection:
            await reservations.expire(connection, NOW + timedelta(minutes=15 + n))

    async def unite(kept: int, lost: int) -> None:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "select 1 from users where user_id = any($1::bigint[]) order by user_id for update", [kept, lost]
            )
            await merge.merge(connection, kept, lost, NOW, merged)

    drawers = [DueDrawer(pool, decider(pool, snapshot), SEED) for _ in range(2)]
    dispatchers = [Dispatcher(pool, Answering([Unregistered()] * 5), EventLogJournal()) for _ in range(2)]
    people = list(range(1, PEOPLE + 1))
    await asyncio.gather(
        *(drawer.draw_due(standing(NOW)) for drawer in drawers),
        *(decide(pool, model, asks(Channel.IN_APP, people[n::4], f"app {n}"), people[n::4]) for n in range(4)),
        *(redeem(n) for n in range(200)),
        *(sweep(n) for n in range(5)),
        *(unite(n, n + 30) for n in range(1, 6)),
        *(dispatcher.dispatch(standing(NOW)) for dispatcher in dispatchers),
    )
    assert refused.keys() <= {"limit_reached"}
    for name in "abcd":
        offer_id = shop.offers[shop.index_by_external[name]].id
        stood = await stands(pool, offer_id)
        assert 0 < stood.redeemed + stood.reserved <= 40
    await assert_in_balance(pool)
    wrong = await pool.fetchval("""
        select count(*) from allowances a
         where redeemed <> (select count(*) from redemptions r where a.holder = any (r.taken_from) and rolled_back_at is null)
    """)
    assert wrong == 0
