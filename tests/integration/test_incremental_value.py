"""Campaigns whose goal is what a push adds: from the upload to the phone, drawn again, explained, and refused where it makes no sense."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from bandits import incremental
from bandits.features import DIMS
from bandits.incremental import Own
from push.clock import standing
from push.drawing.due import DueDrawer
from push.fcm.channel import FcmChannel
from push.outbox import State
from push.planning.planner import Planner
from push.sending.dispatcher import Dispatcher
from schema.policy_evaluation import EvaluationRequest
from service.decision import replay
from service.decision.policy import BUILT_IN
from service.learning.composer import Composer
from service.learning.learner import Learner
from service.planning.exposure_journal import EventLogJournal
from service.planning.moments import LearnedMoments
from service.planning.push_decider import PipelineDecider
from service.policies import promotion
from service.store import decisions, effects
from service.store.catalogue import CatalogueCache
from service.store.current_policy import PolicyCache
from service.store.current_snapshot import SnapshotCache
from service.store.effects import Published
from service.store.logged_decision import LoggedDecision
from tests.contract.stand_in_server import StandInServer
from tests.integration import push_world
from tests.integration.push_world import SEED, states
from tests.integration.serving import Api, serving

STARTS = datetime(2099, 3, 2, tzinfo=UTC)
CAMPAIGN = {
    "campaign_id": "adds",
    "starts_at": "2099-03-02T00:00:00",
    "ends_at": "2099-03-09T00:00:00",
    "goal": "incremental_value",
    "currency": "EUR",
    "attention_price": 2.0,
    "ttl_s": 1209600,
    "control_share": 0.1,
    "holdout_share": 0.1,
}
DEALS = (
    "offer_id,title,tags,discount_type,discount_percent,discount_amount,price,margin,currency,redeemable\n"
    "coffee,20 % off,coffee,percent,20,,3.00,1.60,EUR,\n"
    "bread,Fresh bread,bread,amount,,0.10,2.00,0.90,EUR,\n"
    "news,News,paper,none,,,,,EUR,true\n"
    "free,Half price,soda,percent,50,,,0.50,EUR,\n"
    "dollar,Dollar deal,soup,amount,,0.10,2.00,0.90,USD,\n"
)


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database, seed="s") as served:
        served.headers.update(await served.key("sk", "campaigns", "offers", "users", "reports", "ingest"))
        sent = await served.post("/v1/offers/imports", content=DEALS, headers={"content-type": "text/csv"})
        assert sent.status_code == 200, sent.text
        yield served


async def refused(api: Api, **changes: Any) -> list[tuple[str, str]]:
    answer = await api.post("/v1/campaigns", json=CAMPAIGN | changes)
    assert answer.status_code in {400, 422}, answer.text
    return [(error["pointer"], error["detail"]) for error in answer.json()["errors"]]


async def test_what_makes_no_sense_is_refused_by_its_field(api: Api) -> None:
    assert [pointer for pointer, _ in await refused(api, value_open=0.1, value_redeem=2.0)] == [
        "/value_open",
        "/value_redeem",
    ]
    told = await refused(api, offers=["coffee", "news", "free", "dollar"])
    assert [pointer for pointer, _ in told] == ["/offers/1", "/offers/2", "/offers/3"]
    for (_, detail), word in zip(told, ("margin_minor", "price_minor", "USD"), strict=True):
        assert word in detail
    ((pointer, detail),) = await refused(api, currency="JPY")
    assert (pointer, "margin_minor" in detail, "JPY" in detail) == ("/offers", True, True)
    assert [pointer for pointer, _ in await refused(api, goal="profit")] == ["/goal"]
    assert [pointer for pointer, _ in await refused(api, currency="euro")] == ["/currency"]
    made = await api.post("/v1/campaigns", json=CAMPAIGN | {"offers": ["coffee", "bread"]})
    assert (made.status_code, made.json()["campaign"]["goal"]) == (201, "incremental_value")
    plain = {name: CAMPAIGN[name] for name in ("starts_at", "ends_at")} | {"campaign_id": "plain", "offers": ["news"]}
    assert (await api.post("/v1/campaigns", json=plain)).json()["campaign"]["goal"] == "redemptions"


def moved() -> incremental.Effect:
    """Pushes do much for strangers, who by the prior are not worth one."""
    mean = incremental.UNKNOWN.mean.copy()
    mean[DIMS] += 4.0
    return incremental.UNKNOWN._replace(mean=mean, redeemed_share=0.8, own_variance=0.3)


async def run(api: Api) -> None:
    """A week of the campaign for 120 strangers: half of them by the prior, the others after something was learned."""
    pool = api.resources.pool
    await push_world.people(pool, 120)
    await pool.execute("update devices set last_seen_at = $1", STARTS)
    await pool.execute("update users set created_at = $1", STARTS - timedelta(days=3))
    await pool.execute("insert into identities select 0, external_id, user_id, created_at from users")
    await pool.execute("update users set has_personalization_consent = false where user_id <= 10")
    assert await Composer(pool).publish(STARTS - timedelta(days=1))
    snapshot = SnapshotCache(pool)
    await snapshot.refresh()
    decider = PipelineDecider(CatalogueCache(), snapshot, PolicyCache(pool, BUILT_IN))
    with StandInServer() as server:
        channel = FcmChannel(server.account, base_url=server.url)
        await channel.open()
        drawer, dispatcher = DueDrawer(pool, decider, SEED), Dispatcher(pool, channel, EventLogJournal())
        assert await Planner(pool, LearnedMoments(snapshot), SEED).plan_due(STARTS - timedelta(minutes=30)) == 120
        for day in (3.5, 7.5):
            server.now = STARTS + timedelta(days=day)
            await drawer.draw_due(standing(server.now))
            await dispatcher.dispatch(standing(server.now))
            async with pool.acquire() as connection:
                parts = np.arange(1, 121), Own(np.linspace(-1.0, 1.0, 120), np.full(120, 0.2))
                told = Published(1 if day < 7 else 2, STARTS, 400, 300)
                assert await effects.publish(connection, told, moved(), *parts)
        await channel.close()
        found = await states(pool)
        assert found[State.ACCEPTED] + found[State.NO_SEND] == 120
        assert 20 <= found[State.ACCEPTED] <= 100
        assert server.app.inbox.count == found[State.ACCEPTED]


async def logged(api: Api) -> list[LoggedDecision]:
    rows = await api.resources.pool.fetch("select * from decisions order by decision_id")
    return [decisions.of_row(row) for row in rows]


async def test_from_the_upload_to_the_phone_and_back(api: Api) -> None:
    assert (await api.post("/v1/campaigns", json=CAMPAIGN)).status_code == 201
    await run(api)
    rows = await logged(api)
    places = {
        name: number for number, name in await api.resources.pool.fetch("select offer_id, external_id from offers")
    }
    assert {row.offer_ids[0] for row in rows} == {places["coffee"], places["bread"]}
    versions = [row.request.gain.effect_version for row in rows if row.request.gain]
    assert (len(versions), set(versions)) == (120, {0, 1})
    assert all(row.request.rules.kind == "thompson" and row.request.rules.can_be_negative for row in rows)
    by_own = {row.user_id for row in rows if row.request.gain and row.request.gain.own_mean is not None}
    assert by_own
    assert min(by_own) > 10
    catalogue = CatalogueCache()
    async with api.resources.pool.acquire() as connection:
        for row in rows:
            again = replay.compare(row, await replay.redraw(connection, catalogue, row))
            assert again.identical, again.differences
    assert {row.in_control for row in rows} == {row.in_holdout for row in rows} == {True, False}
    assert all(row.send_probability == 0.0 for row in rows if row.in_holdout)
    assert all(row.send_probability == 0.99 for row in rows if row.in_control)


async def test_it_is_explained_and_replayed_over_the_api(api: Api) -> None:
    assert (await api.post("/v1/campaigns", json=CAMPAIGN)).status_code == 201
    await run(api)
    said: dict[str, str] = {}
    for row in (await logged(api))[::2]:
        named = f"{row.decision_id}/{{}}?user_id=user%20{row.user_id}"
        again = await api.post(f"/v1/decisions/{named.format('replay')}")
        assert (again.status_code, again.json()["identical"]) == (200, True)
        told = (await api.get(f"/v1/decisions/{named.format('explanation')}")).json()
        kind = (
            "chosen" if row.action and not row.in_control else "other" if row.in_holdout or row.in_control else "gate"
        )
        said.setdefault(kind, told["because"][0])
        for candidate in told["numbers"]["candidates"]:
            assert 0.0 < candidate["bought_anyway"] < candidate["bought_if_sent"] < 1.0
        assert told["numbers"]["effect_version"] in {0, 1}
        if not row.in_control:
            assert any("without one" in line for line in told["data_used"])
    assert said["chosen"].startswith(("You might buy it anyway", "Now and then we tell"))
    assert "interrupt" in said["gate"] or said["gate"].startswith("By chance")


async def test_an_effect_that_is_gone_makes_a_replay_impossible(api: Api) -> None:
    assert (await api.post("/v1/campaigns", json=CAMPAIGN)).status_code == 201
    await run(api)
    await api.resources.pool.execute("delete from effects where version = 1")
    for row in await logged(api):
        again = await api.post(f"/v1/decisions/{row.decision_id}/replay?user_id=user%20{row.user_id}")
        version = row.request.gain.effect_version if row.request.gain else None
        assert again.status_code == (200 if version == 0 else 409)


async def test_no_policy_is_judged_by_two_goals(api: Api) -> None:
    assert (await api.post("/v1/campaigns", json=CAMPAIGN)).status_code == 201
    await run(api)
    await Learner(api.resources.pool, CatalogueCache()).catch_up(STARTS + timedelta(days=9))
    async with api.resources.pool.acquire() as connection:
        asked = EvaluationRequest(since=STARTS - timedelta(days=1))
        found = await promotion.judge(connection, CatalogueCache(), "default", asked, STARTS + timedelta(days=30))
    drawn_by_policy = [row for row in await logged(api) if not (row.in_holdout or row.in_control)]
    assert found.evaluation.skipped == {"other_goal": len(drawn_by_policy)}
    assert found.evaluation.decisions == 0
    assert not found.evaluation.trustworthy
