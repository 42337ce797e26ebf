"""A dry run tells what planning and drawing then really do: the same counts, the same hours, the same people."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, timedelta
from typing import Any

import pytest

from bandits.rhythm import Rhythm
from push.clock import standing
from push.drawing.due import DueDrawer
from push.planning.planner import Planner
from schema import forecast as schema
from schema.contact_rules import Cap, ContactRules
from service.decision.policy import BUILT_IN
from service.planning import forecast
from service.planning.moments import LearnedMoments
from service.planning.push_decider import PipelineDecider
from service.store import virtual_clock
from service.store.catalogue import CatalogueCache
from service.store.current_policy import PolicyCache
from service.store.zones import local_hour
from tests.integration import decision_world, push_world
from tests.integration.push_world import HOUR, SEED, STARTS_AT
from tests.integration.serving import Api, serving

BEFORE = STARTS_AT.replace(tzinfo=UTC) - HOUR
DAY = timedelta(days=1)
PEOPLE = 300
BODY: dict[str, Any] = {
    "campaign_id": "lunch",
    "starts_at": "2026-03-02T00:00:00",
    "ends_at": "2026-03-05T00:00:00",
    "hours": [*range(8, 20), *range(32, 44)],
    "audience": {"tags_none": ["staff"], "store_ids": ["7", "8"], "active_within_days": 30},
    "offers": ["coffee"],
    "holdout_share": 0.2,
    "control_share": 0.1,
}
WORLD = [
    "update users set time_zone = 'Asia/Tokyo' where user_id % 3 = 0",
    "update users set traits = jsonb_build_object('store_id', (7 + user_id % 3)::text)",
    "update users set tags = '{staff}' where user_id % 10 = 1",
    "update users set has_push_consent = false where user_id % 20 = 2",
    "update users set opted_out_at = created_at where user_id % 50 = 3",
    "delete from devices where user_id % 25 = 4",
    "update devices set last_seen_at = last_seen_at - interval '60 days' where user_id % 7 = 5",
    # What holds them back when it is due, of those who are planned.
    "update users set muted_until = '2026-04-01' where user_id % 9 = 4",
    "update users set vetoed_offer_ids = '{1}' where user_id % 8 = 6",
    "update users set pushes_per_week_max = 0 where user_id % 11 = 0",
    # Nobody reaches those who sleep all week.
    "update users set quiet_minutes = '{0,1439}' where user_id % 13 = 6",
]


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database, seed=SEED.decode(), is_virtual_clock=True) as served:
        pool = served.resources.pool
        await virtual_clock.advance(pool, BEFORE)
        await push_world.people(pool, PEOPLE)
        await push_world.offer(pool)
        await pool.execute("insert into identities select 0, external_id, user_id, created_at from users")
        for statement in WORLD:
            await pool.execute(statement)
        for user_id in range(0, PEOPLE, 4):
            rhythm = Rhythm()
            for day in range(1, 20):
                rhythm.visited((user_id + day % 3) % 168, (BEFORE - day * DAY).timestamp())
            await pool.execute("insert into user_state values ($1, '', $2, $3)", user_id, rhythm.pack(), BEFORE)
        await decision_world.publish(pool, BEFORE)
        await served.resources.snapshot.refresh()
        served.headers.update(await served.key("sk", "campaigns"))
        yield served


async def planned(api: Api) -> list[Any]:
    """The rows that the real planner writes at that instant, with their people."""
    pool = api.resources.pool
    await Planner(pool, LearnedMoments(api.resources.snapshot), SEED).plan_due(BEFORE)
    return await pool.fetch(  # type: ignore[no-any-return] # asyncpg is untyped
        "select u.external_id, u.time_zone, o.send_at, o.user_id from outbox o join users u using (user_id) order by 4"
    )


async def test_planning_then_does_what_was_foretold(api: Api) -> None:
    answer = await api.post("/v1/campaigns?dry_run=true", json=BODY)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (await api.get("/v1/campaigns/lunch")).status_code == 404
    assert await api.resources.pool.fetchval("select count(*) from outbox") == 0
    assert (await api.post("/v1/campaigns", json=BODY)).status_code == 201
    again = (await api.get("/v1/campaigns/lunch/forecast")).json()
    assert again == told
    rows = await planned(api)
    assert len(rows) == told["planned"] > 50
    hours = Counter(local_hour(row["send_at"], row["time_zone"]) for row in rows)
    assert told["hours"] == [hours[hour] for hour in range(168)]
    assert {hour for hour, count in enumerate(told["hours"]) if count} <= set(BODY["hours"])
    assert told["occurrence_at"] == BODY["starts_at"]
    assert told["sampled"] == told["audience"]
    send_at = {row["external_id"]: row["send_at"].isoformat().replace("+00:00", "Z") for row in rows}
    assert len(told["people"]) == forecast.SHOWN
    for person in told["people"]:
        assert person["send_at"] == send_at[person["user_id"]]


async def test_the_funnel_counts_everybody_once_and_drawing_agrees(api: Api) -> None:
    await api.post("/v1/campaigns", json=BODY)
    told = (await api.get("/v1/campaigns/lunch/forecast")).json()
    funnel = {step["step"]: step for step in told["funnel"]}
    assert list(funnel) == list(schema.Step.__args__)
    left = [step["left"] for step in told["funnel"]]
    assert left[0] == PEOPLE
    for before, step in zip(left, told["funnel"][1:], strict=False):
        assert before - sum(step["left_out"].values()) == step["left"]
    assert funnel["consent"]["left_out"] == {"no_push_consent": 15, "opted_out": 6}
    assert funnel["live_token"]["left_out"] == {"no_address": 12}
    assert funnel["phone"]["left"] == told["audience"]
    assert funnel["moment"]["left"] == told["planned"]
    rows = await planned(api)
    pool = api.resources.pool
    policy = PolicyCache(pool, BUILT_IN)
    decider = PipelineDecider(CatalogueCache(), api.resources.snapshot, policy)
    # Each at its own moment, as the worker does, so that everybody is judged then.
    for at in sorted({row["send_at"] for row in rows}):
        await DueDrawer(pool, decider, SEED).draw_due(standing(at))
    first = "select split_part(outcome, ',', 1), count(*) from outbox where state = 8 group by 1"
    silent = Counter(dict(await pool.fetch(first)))
    assert funnel["rules_of_contact"]["left_out"] == {reason: silent[reason] for reason in ("muted", "cap_reached")}
    assert funnel["offer"]["left_out"] == {"no_eligible_offer": silent["no_eligible_offer"]}
    groups = dict(await pool.fetch("select (in_holdout, in_control)::text, count(*) from decisions group by 1"))
    assert (told["held_out"], told["control"]) == (groups["(t,f)"], groups["(f,t)"])


async def test_who_asks_after_people_is_told_when_or_why_not(api: Api) -> None:
    await api.post("/v1/campaigns", json=BODY)
    names = ["user 2", "user 4", "user 30", "user 66", "user 69", "user 22", "nobody"]
    answer = await api.get("/v1/campaigns/lunch/forecast", params={"user_id": names})
    people = {person["user_id"]: person for person in answer.json()["people"]}
    assert {name: person["left_out_by"] for name, person in people.items()} == {
        "user 2": "no_push_consent",
        "user 4": "no_address",
        "user 30": "no_eligible_offer",
        "user 66": "cap_reached",
        "user 69": None,
        "user 22": "no_push_consent",
    }
    assert people["user 2"]["send_at"] is None
    assert people["user 69"]["time_zone"] == "Asia/Tokyo"
    assert people["user 69"]["local_hour"] in BODY["hours"]
    many = await api.get("/v1/campaigns/lunch/forecast", params={"user_id": [f"user {n}" for n in range(21)]})
    assert many.status_code == 400
    assert (await api.get("/v1/campaigns/dinner/forecast")).status_code == 404


async def test_with_an_inbox_beside_push_who_cannot_be_pushed_is_reached_too(api: Api) -> None:
    body = BODY | {"channels": ["push", "inbox"]}
    told = (await api.post("/v1/campaigns?dry_run=true", json=body)).json()
    assert [step["left_out"] for step in told["funnel"][1:3]] == [{"opted_out": 6}, {}]
    assert (await api.post("/v1/campaigns", json=body)).status_code == 201
    assert len(await planned(api)) == told["planned"]


async def test_of_a_large_audience_a_sample_is_scaled_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = (await api.post("/v1/campaigns?dry_run=true", json=BODY)).json()
    monkeypatch.setattr(forecast, "SAMPLE_MAX", 80)
    told = (await api.post("/v1/campaigns?dry_run=true", json=BODY)).json()
    assert told["audience"] == exact["audience"]
    assert told["funnel"][:7] == exact["funnel"][:7]
    assert 40 < told["sampled"] < 120
    assert told["planned"] == pytest.approx(exact["planned"], rel=0.15)
    assert told["funnel"][7]["left"] == told["planned"]


async def test_what_fills_a_cap_by_then_shows(api: Api) -> None:
    await push_world.rules(
        api.resources.pool, ContactRules(quiet_hours=[], caps=[Cap(pushes_max=1, within_s=7 * 86_400)], min_gap_s=0)
    )
    sent = f'[[{int(BEFORE.timestamp() * 1000)}, "x", ["coffee"]]]'
    await api.resources.pool.execute(
        "insert into contacts select n, $1::text::jsonb from generate_series(1, 300) n", sent
    )
    told = (await api.post("/v1/campaigns?dry_run=true", json=BODY)).json()
    capped = next(step for step in told["funnel"] if step["step"] == "rules_of_contact")
    assert (capped["left"], told["planned"] > 50) == (0, True)


async def test_a_dry_run_is_refused_for_what_a_campaign_is(api: Api) -> None:
    wrong = await api.post("/v1/campaigns?dry_run=true", json=BODY | {"offers": ["x"]})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (400, "/offers/0")
    await api.post("/v1/campaigns", json=BODY)
    assert (await api.post("/v1/campaigns?dry_run=true", json=BODY)).status_code == 409
    await api.post("/v1/campaigns/lunch/end")
    await virtual_clock.advance(api.resources.pool, BEFORE + 10 * DAY)
    told = (await api.get("/v1/campaigns/lunch/forecast")).json()
    assert (told["occurrence_at"], told["planned"]) == (None, 0)
