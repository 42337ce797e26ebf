"""What stops a push, a webhook and the slots of a digest between draw and claim: one rule, asked on every channel for every reason."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
import pytest

from push.campaign.campaigns import CampaignCache
from push.channel import Card
from push.channels import delivery_claim
from push.channels.webhooks import endpoints
from push.contact.contacts import RulesCache
from push.decider import NOBODY, Batch, Draft, Drawn, DrawnMany, Due, DueMany, Slot
from push.sending import claim
from schema.campaign import StoredCampaign
from schema.decision import Channel
from schema.ids import uuid7
from service.store.pool import open_pool, prepare
from tests.integration import push_world
from tests.integration.push_world import HOUR, NOW

_DELETE_OFFER = "update offer_versions set to_version = from_version + 1 where offer_id = $1"
_BODY = "update offer_versions set body = body || '{}' where offer_id = $1"


class Case(NamedTuple):
    """Something that happens to one person ($1) and what they were drawn ($2), or to that alone ($1); what then stops each channel."""

    query: str
    push: str | None
    webhook: str | None
    email: str | None
    is_of_offer: bool = False
    may_be_left_out: bool = False

    @classmethod
    def everywhere(cls, reason: str, query: str) -> "Case":
        return cls(query, reason, reason, reason)

    @classmethod
    def offer(cls, reason: str, change: str) -> "Case":
        query = _BODY.replace("{}", change) if change.startswith("{") else change
        return cls(query, reason, reason, reason, is_of_offer=True, may_be_left_out=True)

    @classmethod
    def both(cls, reason: str, query: str) -> "Case":
        return cls(query, reason, reason, reason, may_be_left_out=True)


_REDEEMED = "update reservations set state = 1 where user_id = $1 and offer_id = $2"
_RUN_OUT = "update reservations set expires_at = '2026-03-02 09:00+00' where user_id = $1 and offer_id = $2"
_TAKEN_BACK = "update reservations set state = 2 where user_id = $1 and offer_id = $2"
# The promise of the message was taken back; meanwhile the app told of the same offer: the till takes either for it.
_PROMISED_ANEW = """
    with released as (
        update reservations set state = 2 where user_id = $1 and offer_id = $2 returning *
    )
    insert into reservations
    select user_id, gen_random_uuid(), offer_id, taken_from, discount_minor, 0, made_at, expires_at, array['00000000-0000-0000-0000-000000000000'::uuid]
      from released
"""
_SNOOZED = (
    "update users set snoozed_offer_ids = array[$2::int], snoozed_until = '{2026-03-02 09:00:01+00}' where user_id = $1"
)
_AWAKE = (
    "update users set snoozed_offer_ids = array[$2::int], snoozed_until = '{2026-03-02 09:00+00}' where user_id = $1"
)
_LATE = """
    with late as (update outbox set send_until = '2026-03-02 09:00+00' where user_id = $1)
    update deliveries set expires_at = '2026-03-02 09:00+00' where user_id = $1
"""
_ADULTS = """
    with aged as (update users set birth_date = $3 where user_id = $1)
    update offer_versions set body = body || '{"min_age": 18}' where offer_id = $2
"""
CASES: Final = [
    Case.everywhere("expired", _LATE),
    Case.everywhere("person_gone", "delete from users where user_id = $1"),
    Case.everywhere("person_gone", "update users set merged_into = 1 where user_id = $1"),
    Case.everywhere("opted_out", "update users set opted_out_at = now() where user_id = $1"),
    Case("update users set has_push_consent = false where user_id = $1", "no_push_consent", None, None),
    Case("update users set has_email_consent = false where user_id = $1", None, None, "no_email_consent"),
    Case("update users set has_email_consent = null where user_id = $1", None, None, "no_email_consent"),
    Case.everywhere("muted", "update users set muted_until = '2026-03-02 09:00:01+00' where user_id = $1"),
    Case("update users set muted_until = '2026-03-02 09:00+00' where user_id = $1", None, None, None),
    Case.both("vetoed", "update users set vetoed_offer_ids = array[$2::int] where user_id = $1"),
    Case.both("snoozed", _SNOOZED),
    Case(_AWAKE, None, None, None),
    Case.offer("offer_ended", '{"ends_at": "2026-03-02T09:00:00Z"}'),
    Case.offer("offer_gone", '{"paused": true}'),
    Case.offer("offer_gone", '{"starts_at": "2026-03-02T09:00:01Z"}'),
    Case.offer("offer_gone", '{"channels": ["in_app"]}'),
    Case.offer("offer_gone", _DELETE_OFFER),
    Case.offer("wrong_store", '{"store_ids": ["s2"]}'),
    Case.offer("wrong_store", '{"exclude_store_ids": ["s1"]}'),
    Case(_BODY.replace("{}", '{"store_ids": ["s2", "s1"]}'), None, None, None, is_of_offer=True),
    Case.both("too_young", _ADULTS.replace("$3", "null")),  # who tells no age is too young
    Case.both("too_young", _ADULTS.replace("$3", "'2008-03-02'")),  # eighteen today, but not yet everywhere on Earth
    Case(_ADULTS.replace("$3", "'2008-03-01'"), None, None, None),
    Case.both("not_reserved", _REDEEMED),
    Case.both("not_reserved", _RUN_OUT),
    Case.both("not_reserved", _TAKEN_BACK),
    Case(_PROMISED_ANEW, None, None, None),
    Case("delete from devices where user_id = $1", "no_address", None, None),
    Case("delete from email_addresses where user_id = $1", None, None, "no_address"),
]


class Slates:
    """Draws for everybody three offers of their own, each reserved with the decision; `own` is (person, slot) -> offer."""

    def __init__(self, own: dict[tuple[int, int], int]) -> None:
        self.own = own

    async def decide_many(self, _connection: Any, _asked: DueMany, _now: datetime) -> DrawnMany:
        return NOBODY

    async def decide(self, connection: Any, batch: Batch, now: datetime) -> list[Drawn]:
        return [await self._one(connection, one, now) for _, due in batch for one in due]

    async def _one(self, connection: Any, due: Due, now: datetime) -> Drawn:
        decision_id = uuid7(now, due.entropy)
        offers = [self.own[due.user_id, slot] for slot in range(3)]
        await connection.execute(push_world._DECISION, due.user_id, decision_id, 1, offers)
        promised = [await self._promise(connection, due.user_id, one, decision_id, now) for one in offers]
        slate = tuple(Slot(one, Card("Offer", ""), by) for one, by in zip(offers, promised, strict=True))
        data = {"decision_id": str(decision_id), "reservation_id": str(promised[0])}
        return Drawn(decision_id, Draft(offers[0], "Offer", "", None, data), "", slate=slate)

    async def _promise(self, connection: Any, user_id: int, offer_id: int, decision_id: UUID, now: datetime) -> UUID:
        made = await connection.fetchval(
            """insert into reservations values ($1, gen_random_uuid(), $2, array[holder_of($2)], 0, 0, $3, $4, array[$5::uuid])
               returning reservation_id""",
            user_id,
            offer_id,
            now,
            now + HOUR,
            decision_id,
        )
        return UUID(bytes=made.bytes)


class World(NamedTuple):
    """One person for each case, of whom a campaign of all channels has drawn three offers of their own."""

    pool: asyncpg.Pool
    own: dict[tuple[int, int], int]
    campaign: StoredCampaign

    async def happens(self, slot: int) -> None:
        """Each case to its person; what concerns an offer, to the one in this slot."""
        for user_id, case in enumerate(CASES, 1):
            offer_id = self.own[user_id, slot]
            if case.is_of_offer:
                await self.pool.execute(case.query, offer_id)
            else:
                await self.pool.execute(case.query, *((user_id, offer_id) if "$2" in case.query else (user_id,)))

    async def claim(self, channel: Channel) -> list[Any]:
        known = claim.Known(RulesCache(), CampaignCache())
        async with self.pool.acquire() as connection:
            if channel is Channel.PUSH:
                return list((await claim.claim(connection, NOW, 200, NOW, known)).rows)
            return list((await delivery_claim.claim(connection, channel, NOW, 200, NOW, known)).rows)


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    async with await open_pool(database, 4) as pool:
        await push_world.people(pool, len(CASES))
        await pool.execute('update users set has_email_consent = true, traits = \'{"store_id": "s1"}\'')
        await pool.execute("insert into email_addresses select user_id, user_id || '@mail.example', $1 from users", NOW)
        await endpoints.make(pool, "crm", "https://crm.example", endpoints.new_secret(), NOW, "test")
        places = [(n, slot) for n in range(1, len(CASES) + 1) for slot in range(3)]
        own = {place: await push_world.offer(pool, f"offer-{place[0]}-{place[1]}") for place in places}
        stored = await push_world.campaign(pool, channels=["push", "webhook", "email"], slots=3)
        await push_world.ready(pool, stored, range(1, len(CASES) + 1), Slates(own))
        yield World(pool, own, stored)


async def outcomes(pool: asyncpg.Pool, channel: Channel) -> dict[int, str | None]:
    if channel is Channel.PUSH:
        return dict(await pool.fetch("select user_id::int, case when state <> 2 then outcome end from outbox"))
    query = "select user_id::int, case when state <> 2 then outcome end from deliveries where channel = $1"
    return dict(await pool.fetch(query, int(channel)))


async def test_every_reason_stops_every_channel_it_concerns(world: World) -> None:
    """And only those: who was told by a push no more, is told by the others, whose promise the failed push did not take."""
    await world.happens(slot=0)
    for channel, expected in (
        (Channel.PUSH, [case.push for case in CASES]),
        (Channel.WEBHOOK, [case.webhook for case in CASES]),
        (Channel.EMAIL, [case.email for case in CASES]),
    ):
        rows = await world.claim(channel)
        assert await outcomes(world.pool, channel) == dict(enumerate(expected, 1)), channel
        assert len(rows) == expected.count(None)
        if channel is not Channel.PUSH:
            told = [0, 1, 2] if channel is Channel.EMAIL else [0]
            assert [row.told for row in rows] == [told] * len(rows)


async def test_another_slot_is_left_out_for_the_same_reasons(world: World) -> None:
    await world.happens(slot=1)
    told = {
        row.key.user_id if isinstance(row, claim.ReadyRow) else row.user_id: row
        for row in await world.claim(Channel.EMAIL)
    }
    for user_id, case in enumerate(CASES, 1):
        if case.may_be_left_out:
            assert told[user_id].told == [0, 2], case
        elif case.email is None:
            assert told[user_id].told == [0, 1, 2], case
        else:
            assert user_id not in told, case
    by_push = {row.key.user_id for row in await world.claim(Channel.PUSH)}
    assert by_push == {n for n, case in enumerate(CASES, 1) if case.may_be_left_out or case.push is None}


async def test_what_ended_with_its_campaign_leaves_on_no_channel(world: World) -> None:
    await world.pool.execute("update campaigns set status = 'ended'")
    for channel in (Channel.PUSH, Channel.WEBHOOK, Channel.EMAIL):
        assert await world.claim(channel) == []
        assert set((await outcomes(world.pool, channel)).values()) == {"campaign_ended"}


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_the_rule_is_part_of_the_plan_and_reads_promises_by_their_ids(
    connection: asyncpg.Connection, mode: str
) -> None:
    await prepare(connection)
    await connection.execute(f"set plan_cache_mode to {mode}")
    for query, arguments in ((claim._TAKE, "null, 500"), (delivery_claim._TAKE, "null, 3::smallint, 500")):
        statement = await connection.prepare(query)
        told = await connection.fetch(f'explain (verbose) execute "{statement.get_name()}"({arguments})')
        plan = "\n".join(row[0] for row in told)
        assert "Function Call: stopped_by" not in plan
        assert "Function Scan on public.stopped_by" not in plan
        assert "CASE WHEN" in plan
        assert "Seq Scan on public.reservations" not in plan


async def test_a_push_lives_no_longer_than_what_it_promises(world: World) -> None:
    soon = NOW + timedelta(minutes=20)
    await world.pool.execute("update outbox set expires_at = $1", NOW + timedelta(hours=80))
    await world.pool.execute("update reservations set expires_at = $1 where user_id = 1", soon)
    lives = {row.key.user_id: row.expires_at for row in await world.claim(Channel.PUSH)}
    assert lives[1] == soon
    assert lives[2] == await world.pool.fetchval("select max(expires_at) from reservations where user_id = 2")
