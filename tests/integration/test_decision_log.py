"""Ten thousand logged decisions: their propensities are the frequencies, and each of them can be drawn again to the same bits."""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import msgspec
import numpy as np
import pytest
import pytest_asyncio
from msgspec.structs import replace
from scipy import stats

from bandits import features, personal
from bandits.policies.model import Model, from_snapshot
from bandits.tastes import LOGGED_BYTES_MAX, Tastes
from schema.decision import SLOTS_MAX, Channel, Context
from schema.ids import stable_entropy
from schema.offer import OFFERS_MAX, TAGS_PER_OFFER_MAX, Offer
from service.decision import pipeline, policy, replay
from service.decision.ask import Ask
from service.decision.prices import PRICED_MAX
from service.store import catalogue as catalogues
from service.store import decision_people, decisions, drawn_columns, offers
from service.store.catalogue import Catalogue, CatalogueCache
from service.store.decision_people import DecisionPerson
from service.store.logged_decision import LoggedDecision
from service.store.pool import open_pool
from tests import deciding
from tests.deciding import NOW, offer
from tests.integration import decision_world
from tests.logged_rows import PMF, row_of

ROUNDS = 1_250
ROW_BYTES_MAX = 4_096


class World(NamedTuple):
    pool: asyncpg.Pool
    connection: Any
    catalogue: Catalogue
    model: Model


@pytest_asyncio.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 3) as pool:
        yield pool


@pytest_asyncio.fixture
async def world(pool: asyncpg.Pool) -> AsyncIterator[World]:
    """Forty offers, four people of different tastes who refuse different offers, and what is believed before learning."""
    async with pool.acquire() as connection:
        await decision_world.stock(connection, decision_world.deals(40), NOW)
        for n, tags in enumerate((["tag1"], ["tag2", "tag13"], ["tag0", "tag5", "tag17"], [])):
            user_id = await decision_world.acquaint(connection, f"person{n}", tags, 5 * n, NOW - timedelta(days=n))
            own = deciding.answered(*(1.0,) * n, 0.0, at=NOW - timedelta(days=n)) if n else b""
            await connection.execute("update user_state set personal = $2 where user_id = $1", user_id, own)
            await connection.execute(
                "update users set vetoed_offer_ids = $2, snoozed_offer_ids = '{9}', snoozed_until = array[$3::timestamptz],"
                " time_zone = 'America/New_York', birth_date = $4 where user_id = $1",
                user_id,
                list(range(n, 10 * n, 3)),
                NOW + timedelta(days=n - 1),
                date(1990, 1, 1) if n == 2 else None,
            )
        model = from_snapshot(await decision_world.publish(pool, NOW))
        yield World(pool, connection, await catalogues.load(connection), model)


def asks(person: DecisionPerson, turn: int) -> list[Ask]:
    """One push that has to be worth its attention, and one place in the app."""
    push = deciding.ask(
        channel=Channel.PUSH,
        rules=policy.push_rules(0.05, 1.0, 0.03),
        holdout_share=0.3,
        control_share=0.3,
        entropy=stable_entropy(b"push", person.user_id.to_bytes(8), turn.to_bytes(8)),
    )
    in_app = replace(
        push,
        channel=Channel.IN_APP,
        rules=policy.in_app_rules(2),
        context=Context(store_id="s1", distance_m=120.0, is_raining=True, basket_tags=["tag3", "unheard of"]),
        entropy=stable_entropy(b"in app", person.user_id.to_bytes(8), turn.to_bytes(8)),
    )
    return [push, in_app]


async def decide(world: World, people: list[DecisionPerson], rounds: int) -> list[LoggedDecision]:
    asked = [(ask, person) for turn in range(rounds) for person in people for ask in asks(person, turn)]
    for start in range(0, len(asked), 1000):
        await pipeline.decide(world.connection, asked[start : start + 1000], world.catalogue, world.model, NOW)
    return [decisions.of_row(row) for row in await world.connection.fetch("select * from decisions")]


def fits(observed: list[int], probabilities: list[float]) -> bool:
    """Chi-square over the outcomes expected at least five times, the others together."""
    counts, expected = np.array(observed), np.array(probabilities) * sum(observed)
    rare = expected < 5
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    if expected[-1] < 5:
        counts, expected = counts[:-1], expected[:-1]
    return len(counts) < 2 or stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > 1e-4


@pytest.mark.timeout(180)
async def test_propensities_are_frequencies_and_every_decision_is_drawn_again(world: World) -> None:
    ids = [row[0] for row in await world.connection.fetch("select user_id from users")]
    people = list((await decision_people.by_id(world.connection, ids)).people.values())
    logged = await decide(world, people, ROUNDS)
    assert len(logged) == 2 * 4 * ROUNDS == 10_000
    groups: dict[tuple[int, int], list[LoggedDecision]] = {}
    differing = [
        one.decision_id
        for one in logged
        if not replay.compare(one, replay.draw_again(one, world.catalogue, world.model)).identical
    ]
    assert differing == []
    for one in logged:
        groups.setdefault((one.user_id, one.channel), []).append(one)
    assert {one.in_holdout for one in logged} == {one.in_control for one in logged} == {True, False}
    for (user_id, channel), drawn in groups.items():
        person = next(one for one in people if one.user_id == user_id)
        check_frequencies(world, drawn, is_push=channel == Channel.PUSH)
        barred = {*person.vetoed_offer_ids, *(9,) * (person.snoozed_until[0] > NOW)}
        assert not barred & {offer_id for one in drawn for offer_id in one.offer_ids}
        assert {one.personal for one in drawn} == {person.personal}
        check_own_parts(drawn)


def check_frequencies(world: World, logged: list[LoggedDecision], *, is_push: bool) -> None:
    """Outcomes of one person under one mask: each (offer, sent) of slot 0 against pmf x p(send), and each offer against its own log."""
    pmf = replay.draw_again(logged[0], world.catalogue, world.model).draw
    assert pmf is not None
    send = {one.offer_ids[0]: one.send_probability for one in logged}
    propensity = {one.offer_ids[0]: one.propensities[0] for one in logged}
    observed, probabilities = [], []
    for offer_id, p in zip(world.catalogue.ids.tolist(), pmf.pmf.tolist(), strict=True):
        drawn = [one for one in logged if one.offer_ids[0] == offer_id]
        sent = sum(one.action for one in drawn)
        assert p > 0 or not drawn
        assert not drawn or propensity[offer_id] == p
        q = send.get(offer_id, 0.5)
        observed += [sent, len(drawn) - sent]
        probabilities += [p * q, p * (1 - q)]
    assert fits(observed, probabilities)
    shares = set(send.values())
    if logged[0].in_holdout:
        assert shares == {0.0}
    elif logged[0].in_control:
        assert shares == {0.99 if is_push else 1.0}
        assert len(set(propensity.values())) == 1
    elif is_push:
        assert min(shares) < 0.5
        assert all(0.01 <= share <= 0.99 for share in shares)
    else:
        assert shares == {1.0}


def check_own_parts(logged: list[LoggedDecision]) -> None:
    """What is logged of the own part is what learning needs of it: z of the drawn offers, and its part in their predictors."""
    one = logged[0]
    z = np.frombuffer(one.z, "<f4").reshape(len(one.offer_ids), personal.DIMS)
    believed = personal.scores(z, one.personal, personal.VARIANCES, NOW.timestamp())
    np.testing.assert_allclose(one.personal_offsets, z @ believed.mean, rtol=1e-4, atol=1e-6)
    assert bool(one.personal) == any(any(drawn.personal_offsets) for drawn in logged)


async def test_a_decision_is_drawn_again_after_catalogue_and_snapshot_have_moved_on(world: World) -> None:
    people = list((await decision_people.by_id(world.connection, [1, 2, 3, 4])).people.values())
    logged = await decide(world, people, 2)
    await offers.create(world.connection, offer("new", ["tag1", "brand-new"]), NOW)
    await offers.delete(world.connection, "deal-001")
    await decision_world.publish(world.pool, NOW + timedelta(hours=1))
    for one in logged:
        assert replay.compare(one, await replay.redraw(world.connection, CatalogueCache(), one)).identical


async def test_what_was_logged_wrongly_is_told(world: World) -> None:
    people = list((await decision_people.by_id(world.connection, [2])).people.values())
    (push, *_) = await decide(world, people, 1)
    for change, difference in (
        ({"pmf_sha256": b"x"}, "pmf"),
        ({"offer_ids": [999]}, "offers"),
        ({"propensities": [0.123]}, "propensities"),
        ({"send_probability": 0.123}, "send_probability"),
    ):
        altered = msgspec.structs.replace(push, **change)
        assert replay.compare(
            altered, await replay.redraw(world.connection, CatalogueCache(), altered)
        ).differences == [difference]


async def test_a_row_stays_small_at_the_extremes(pool: asyncpg.Pool) -> None:
    """The largest catalogue, the most slots, a state and a basket of the most tags, texts of full length; little of it compressible."""
    rng = np.random.default_rng(4)
    tags = [f"tag{n:03}".ljust(64, "x") for n in range(200)]
    shop = deciding.catalogue(*(busy_offer(rng, n, tags) for n in range(OFFERS_MAX)))
    state = Tastes()
    for tag_id in rng.integers(1, 201, 1_000):
        state.bought([tag_id], NOW.timestamp() - rng.uniform(0, 9e6))
        state.shown([tag_id], NOW.timestamp() - rng.uniform(0, 9e6), 1)
    refused = rng.choice(np.arange(101, 101 + OFFERS_MAX), OFFERS_MAX // 2, replace=False).tolist()
    person = deciding.person(tastes=state.pack(), personal=deciding.answered(1.0, 0.0), vetoed_offer_ids=refused)
    asked = deciding.ask(
        placement="p" * 64,
        rules=policy.in_app_rules(SLOTS_MAX),
        context=Context(
            store_id="s" * 64,
            distance_m=12_345.678,
            temperature_c=-12.3,
            is_raining=True,
            basket_tags=tags[:64],
            local_time=NOW,
        ),
        candidates=tuple(range(101, 101 + OFFERS_MAX)),
        excluded=tuple(range(102, 1_102)),
        campaign_id=UUID(int=1),
    )
    model = deciding.model(200)
    async with pool.acquire() as connection:
        await pipeline.decide(connection, [(asked, person)], shop, model, NOW)
        row = await connection.fetchrow("select user_id, decision_id, pg_column_size(d.*) as bytes from decisions d")
        logged = await decisions.read(connection, row["user_id"], row["decision_id"])
        assert logged is not None
        dearest = [(4_900 + n, float(f"{0.012345 + n * 0.0123:.4g}")) for n in range(PRICED_MAX)]
        priced = msgspec.structs.replace(logged.request, prices=dearest, cost_price=0.00012345)
        await decisions.insert(connection, [row_of(msgspec.structs.replace(logged, user_id=2, request=priced))])
        priced_bytes = await connection.fetchval("select pg_column_size(d.*) from decisions d where user_id = 2")
    assert row["bytes"] < priced_bytes <= ROW_BYTES_MAX
    assert len(logged.eligible) == OFFERS_MAX // 8
    assert LOGGED_BYTES_MAX - 20 <= len(logged.tastes) <= LOGGED_BYTES_MAX
    assert len(logged.offer_ids) == SLOTS_MAX
    assert len(logged.personal) == personal.BYTES
    assert len(logged.z) == 4 * SLOTS_MAX * personal.DIMS
    assert len(logged.phi) == 4 * SLOTS_MAX * features.DIMS
    assert len(logged.request.basket_tag_ids) == 64
    assert row["bytes"] <= ROW_BYTES_MAX
    assert replay.compare(logged, replay.draw_again(logged, shop, model)).identical


def busy_offer(rng: np.random.Generator, n: int, tags: list[str]) -> Offer:
    return offer(
        f"o{n}",
        rng.choice(tags, TAGS_PER_OFFER_MAX, replace=False).tolist(),
        price_minor=500,
        discount_type="amount",
        discount_minor=int(rng.integers(0, 500)),
    )


async def test_a_row_comes_back_as_it_was_logged(world: World) -> None:
    ids = [row[0] for row in await world.connection.fetch("select user_id from users")]
    known = (await decision_people.by_id(world.connection, ids)).people
    given = next(one for one in await decide(world, [known[ids[1]]], 1) if one.offer_ids)
    await world.connection.execute("delete from decisions")
    given = msgspec.structs.replace(given, pmf_sha256=drawn_columns.pmf_sha256(PMF.tobytes()))
    nothing = dict.fromkeys(("phi", "predictions", "tastes", "z"), b"") | {"offer_ids": [], "propensities": []}
    rows = [
        msgspec.structs.replace(given, user_id=1, campaign_id=None, reason_codes=[], z=b"", personal_offsets=[]),
        msgspec.structs.replace(
            given, user_id=2, campaign_id=UUID(int=9), placement="café", reason_codes=["ruhe ☾", "b"]
        ),
        msgspec.structs.replace(
            given,
            user_id=3,
            is_degraded=True,
            in_holdout=True,
            in_control=True,
            offer_ids=[3, 1, 2],
            propensities=[0.25, 1e-9, 1.0],
            phi=3 * given.phi,
            predictions=3 * given.predictions,
            z=3 * given.z,
            personal_offsets=[0.5, -0.25, 0.0],
            send_probability=0.125,
        ),
        msgspec.structs.replace(
            given, user_id=4, pmf_sha256=drawn_columns.pmf_sha256(b""), personal_offsets=[], **nothing
        ),
    ]
    await decisions.insert(world.connection, [row_of(row) for row in rows])
    assert [await decisions.read(world.connection, row.user_id, row.decision_id) for row in rows] == rows
    await decisions.insert(world.connection, [])
    with pytest.raises(asyncpg.UniqueViolationError):
        await decisions.insert(world.connection, [row_of(msgspec.structs.replace(given, user_id=5)), row_of(rows[0])])
    assert await decisions.read(world.connection, 5, given.decision_id) is None
