"""Redemptions over HTTP: given once, refused in words, taken back; and what is learned of them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from schema.ids import uuid7
from service.learning.learner import Learner
from service.store.allowances import holder_of
from service.store.catalogue import CatalogueCache
from tests.integration import decision_world
from tests.integration.serving import Api, serving

STORE = {"store_ids": ["12"]}


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database) as served:
        await decision_world.publish(served.resources.pool, datetime.now(UTC) - timedelta(hours=1))
        await served.resources.snapshot.refresh()
        served.headers.update(await served.key("sk", "admin"))
        yield served


async def offer(api: Api, name: str = "coffee", **more: Any) -> None:
    body = {"offer_id": name, "creative": {"title": name}, "tags": [name], "code": f"{name}-20"} | more
    assert (await api.put(f"/v1/offers/{name}", json=body)).is_success


async def reserved(api: Api, user_id: str, **more: Any) -> dict[str, Any]:
    """What the app is told of the first offer of a decision; somebody of the holdout is asked for under another name."""
    for turn in range(9):
        name = f"{user_id}-{turn}" if turn else user_id
        answer = (await api.post("/v1/decisions", json={"user_id": name} | more)).json()
        if answer["action"] == "offer":
            first: dict[str, Any] = answer["offers"][0]
            return first | {"user_id": name, "decision_id": answer["decision_id"]}
        assert answer["holdout"]
    raise AssertionError("everybody is of the holdout")


async def redeem(api: Api, key: str | None = None, **body: Any) -> httpx.Response:
    return await api.post("/v1/redemptions", json=body, headers={} if key is None else {"Idempotency-Key": key})


async def refused(api: Api, **body: Any) -> tuple[int, str]:
    answer = await redeem(api, **body)
    return answer.status_code, answer.json()["code"]


async def counts(api: Api, name: str = "coffee") -> tuple[int, int, int, int]:
    offer_id = await api.resources.pool.fetchval("select offer_id from offers where external_id = $1", name)
    row = await api.resources.pool.fetchrow(
        "select reserved, reserved_minor, redeemed, redeemed_minor from allowances where holder = $1",
        holder_of(offer_id),
    )
    return tuple(row)


async def test_a_reservation_is_redeemed_once_and_the_same_request_gets_the_same_answer(api: Api) -> None:
    await offer(api, discount_type="amount", discount_minor=50, redemptions_max=3, budget_minor=1000)
    told = await reserved(api, "ada")
    assert await counts(api) == (1, 50, 0, 0)
    wish = {"reservation_id": told["reservation"]["reservation_id"], "reference": "till 7, 42"}
    first = await redeem(api, "sale-1", **wish)
    assert first.status_code == 201
    made = first.json()
    assert (made["status"], made["offer_id"], made["discount_minor"], made["reference"]) == (
        "redeemed",
        "coffee",
        50,
        "till 7, 42",
    )
    again = await redeem(api, "sale-1", **wish)
    assert (again.json(), again.headers["idempotent-replayed"]) == (made, "true")
    assert await refused(api, **wish) == (409, "already_redeemed")
    assert await counts(api) == (0, 0, 1, 50)
    shown = await api.get(f"/v1/redemptions/{made['redemption_id']}")
    assert shown.json() == made


async def test_without_a_reservation_it_is_taken_from_what_is_not_reserved(api: Api) -> None:
    await offer(api, redemptions_max=2)
    told = await reserved(api, "ada")
    assert (await redeem(api, user_id="bob", code="coffee-20")).status_code == 201
    assert await refused(api, user_id="carl", offer_id="coffee") == (409, "limit_reached")
    # Who has been promised one is known by name too.
    assert (await redeem(api, user_id=told["user_id"], code="coffee-20")).json()["reservation_id"] is not None
    assert await counts(api) == (0, 0, 2, 0)
    assert await refused(api, user_id=told["user_id"], code="coffee-20") == (409, "limit_reached")


async def test_tills_at_once_get_what_there_is_and_no_more(api: Api) -> None:
    await offer(api, redemptions_max=6)
    told = await reserved(api, "ada")
    mine = told["reservation"]["reservation_id"]
    wishes = [{"user_id": f"person-{n}", "code": "coffee-20"} for n in range(24)] + [{"reservation_id": mine}] * 6
    answers = await asyncio.gather(*(redeem(api, **wish) for wish in wishes))
    assert Counter(one.json().get("code", "redeemed") for one in answers) == {
        "redeemed": 6,
        "limit_reached": 19,
        "already_redeemed": 5,
    }
    assert await counts(api) == (0, 0, 6, 0)


async def test_a_budget_is_kept_to_the_last_cent(api: Api) -> None:
    await offer(api, discount_type="amount", discount_minor=40, budget_minor=100)
    assert (await redeem(api, user_id="ada", offer_id="coffee")).status_code == 201
    assert await refused(api, user_id="ada", offer_id="coffee", discount_minor=61) == (409, "budget_spent")
    assert (await redeem(api, user_id="ada", offer_id="coffee", discount_minor=60)).json()["discount_minor"] == 60
    assert await refused(api, user_id="ada", offer_id="coffee", discount_minor=1) == (409, "budget_spent")
    assert await counts(api) == (0, 0, 2, 100)


async def test_every_refusal_says_why(api: Api) -> None:
    await offer(api, redemptions_max=9, **STORE)
    await offer(api, "tea", code="T", redemptions_max=9)
    await offer(api, "chai", code="T", redemptions_max=9)
    now = datetime.now(UTC)
    for name, more in (
        ("later", {"starts_at": (now + timedelta(days=1)).isoformat()}),
        ("over", {"ends_at": (now - timedelta(days=1)).isoformat()}),
        ("paused", {"paused": True}),
    ):
        await offer(api, name, **more)
    told = await reserved(api, "ada", context={"store_id": "12"}, exclude=["tea", "chai"])
    mine = told["reservation"]["reservation_id"]
    assert await refused(api, reservation_id=str(uuid7(now, bytes(10)))) == (404, "unknown_reservation")
    assert await refused(api, reservation_id=mine, user_id="bob") == (409, "wrong_person")
    assert await refused(api, reservation_id=mine, offer_id="tea") == (404, "unknown_offer")
    assert await refused(api, reservation_id=mine, store_id="13") == (409, "wrong_store")
    assert await refused(api, user_id="bob", code="nothing") == (404, "unknown_offer")
    assert await refused(api, user_id="bob", code="T") == (409, "ambiguous_code")
    assert await refused(api, user_id="bob", offer_id="later") == (409, "offer_not_started")
    assert await refused(api, user_id="bob", offer_id="over") == (409, "offer_ended")
    assert await refused(api, user_id="bob", offer_id="paused") == (409, "offer_paused")
    assert await refused(api, user_id="bob") == (400, "invalid_body")
    assert await refused(api, offer_id="tea") == (400, "invalid_body")
    early = (now - timedelta(days=8)).isoformat()
    assert await refused(api, reservation_id=mine, occurred_at=early) == (400, "invalid_field")
    await api.resources.pool.execute("update reservations set expires_at = now()")
    assert await refused(api, reservation_id=mine) == (409, "reservation_expired")
    assert await counts(api) == (1, 0, 0, 0)
    unfit = await api.post(
        "/v1/redemptions", json={"user_id": "bob", "code": "T"}, headers=await api.key("sk", "offers")
    )
    assert unfit.status_code == 403


async def test_a_promise_is_kept_when_the_offer_is_paused_ended_or_deleted(api: Api) -> None:
    await offer(api, redemptions_max=3)
    told = [await reserved(api, name) for name in ("ada", "bob", "carl")]
    ids = [one["reservation"]["reservation_id"] for one in told]
    await api.patch("/v1/offers/coffee", json={"paused": True, "redemptions_max": 1})
    assert (await redeem(api, reservation_id=ids[0])).status_code == 201
    await api.patch("/v1/offers/coffee", json={"ends_at": (datetime.now(UTC) - timedelta(hours=1)).isoformat()})
    assert (await redeem(api, reservation_id=ids[1])).status_code == 201
    await api.delete("/v1/offers/coffee")
    assert (await redeem(api, reservation_id=ids[2])).status_code == 201
    assert await counts(api) == (0, 0, 3, 0)


async def test_a_rollback_gives_back_and_opens_the_reservation_again(api: Api) -> None:
    await offer(api, discount_type="amount", discount_minor=50, redemptions_max=1)
    told = await reserved(api, "ada")
    mine = told["reservation"]["reservation_id"]
    made = (await redeem(api, reservation_id=mine)).json()
    back = await api.post(f"/v1/redemptions/{made['redemption_id']}/rollback")
    assert (back.status_code, back.json()["status"]) == (200, "rolled_back")
    twice = await api.post(f"/v1/redemptions/{made['redemption_id']}/rollback")
    assert (twice.status_code, twice.json()["code"]) == (409, "already_rolled_back")
    assert await counts(api) == (1, 50, 0, 0)
    made = (await redeem(api, reservation_id=mine)).json()
    await api.resources.pool.execute("update reservations set expires_at = now()")
    await api.post(f"/v1/redemptions/{made['redemption_id']}/rollback")
    assert await counts(api) == (0, 0, 0, 0)
    nothing = await api.post(f"/v1/redemptions/{uuid7(datetime.now(UTC), bytes(10))}/rollback")
    assert nothing.status_code == 404


@pytest.mark.parametrize("passes", ["together", "apart"])
async def test_a_redemption_is_a_reward_and_a_rollback_takes_it_out_of_all_that_was_learned(
    api: Api, passes: str
) -> None:
    await offer(api, redemptions_max=5)
    told = await reserved(api, "ada")
    path = f"/v1/decisions/{told['decision_id']}/feedback"
    assert (await api.post(path, json={"type": "shown", "user_id": told["user_id"]})).is_success
    pool = api.resources.pool
    learner = Learner(pool, CatalogueCache())

    async def learned() -> Any:
        await learner.catch_up(datetime.now(UTC))
        sums = await pool.fetch("select * from learner_sums order by 1, 2")
        states = await pool.fetch("select tastes, personal from user_state")
        shown = await pool.fetch("select redeemed_at, redeemed_told_at from exposures")
        return [dict(row) for row in sums], [tuple(row) for row in states], [tuple(row) for row in shown]

    before = await learned()
    made = (await redeem(api, reservation_id=told["reservation"]["reservation_id"])).json()
    if passes == "apart":
        redeemed = await learned()
        assert redeemed[2][0][0] is not None
        assert redeemed != before
    await api.post(f"/v1/redemptions/{made['redemption_id']}/rollback")
    after = await learned()
    assert after[2] == before[2] == [(None, None)]
    assert await pool.fetchval("select count(*) from answers") == 0
    assert_same_sums(after[0], before[0])


def assert_same_sums(after: list[dict[str, Any]], before: list[dict[str, Any]]) -> None:
    assert len(after) == len(before) == 1
    for name, value in before[0].items():
        if isinstance(value, bytes):
            assert len(after[0][name]) == len(value), name
            assert after[0][name] == value, name


async def test_the_operator_sees_what_is_left(api: Api) -> None:
    await offer(api, discount_type="amount", discount_minor=50, redemptions_max=3, budget_minor=1000)
    await reserved(api, "ada")
    assert (await redeem(api, user_id="bob", offer_id="coffee")).status_code == 201
    stands = (await api.get("/v1/offers/coffee/allowance")).json()
    assert stands == {
        "redemptions_max": 3,
        "redemptions_left": 1,
        "budget_minor": 1000,
        "budget_left_minor": 900,
        "reserved": 1,
        "reserved_minor": 50,
        "redeemed": 1,
        "redeemed_minor": 50,
        "shadow_price": 0.0,
    }
    assert (await api.get("/v1/offers/tea/allowance")).status_code == 404
    lunch = {
        "campaign_id": "lunch",
        "starts_at": "2099-03-02T00:00:00",
        "ends_at": "2099-03-09T00:00:00",
        "budget_minor": 70,
    }
    assert (await api.post("/v1/campaigns", json=lunch)).status_code == 201
    assert (await api.get("/v1/campaigns/lunch/allowance")).json()["budget_left_minor"] == 70
    assert (await api.get("/v1/campaigns/dinner/allowance")).status_code == 404
    euros = await api.post("/v1/campaigns", json=lunch | {"campaign_id": "euros", "currency": "EUR"})
    assert (euros.status_code, euros.json()["code"]) == (422, "no_offer_with_cost")


async def test_the_campaign_s_budget_counts_too(api: Api) -> None:
    """The money of a reservation that a campaign made is that of the campaign as well."""
    await offer(api, discount_type="amount", discount_minor=40, redemptions_max=5)
    told = await reserved(api, "ada")
    pool = api.resources.pool
    campaign = uuid7(datetime.now(UTC), bytes(10))
    await pool.execute(
        "insert into allowances (holder, budget_minor, reserved, reserved_minor) values ($1, 50, 1, 40)", campaign
    )
    await pool.execute("update reservations set taken_from = taken_from || $1::uuid", campaign)
    mine = told["reservation"]["reservation_id"]
    assert await refused(api, reservation_id=mine, discount_minor=51) == (409, "budget_spent")
    assert (await redeem(api, reservation_id=mine, discount_minor=50)).status_code == 201
    row = await pool.fetchrow(
        "select reserved, reserved_minor, redeemed, redeemed_minor from allowances where holder = $1", campaign
    )
    assert tuple(row) == (0, 0, 1, 50)
