"""Decisions over HTTP: asked for, answered, explained and drawn again."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import jwt
import msgspec
import pytest
import pytest_asyncio

from schema.ids import stable_share, uuid7
from service.decision import pipeline, policy
from service.store import decision_features, decision_people, decisions
from service.store.people import ANONYMOUS, PersonKey
from tests import deciding
from tests.deciding import offer
from tests.integration import decision_world
from tests.integration.serving import Api, serving

SECRET = "s" * 40
SHELF = [
    offer("milk", ["milk"], price_minor=200, discount_type="amount", discount_minor=50),
    offer("bread", ["bread", "bakery"]),
    offer("remedy", ["remedy"], is_sensitive=True),
    offer("beer", ["beer"], min_age=21),
    offer("corner", ["coffee"], store_ids=["s1"]),
]


@pytest_asyncio.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database) as running:
        running.headers.update(await running.key("sk", "users", "ingest", "offers", "reports"))
        async with running.resources.pool.acquire() as connection:
            await decision_world.stock(connection, SHELF, datetime.now(UTC))
        await decision_world.publish(running.resources.pool, datetime.now(UTC))
        await running.resources.snapshot.refresh()
        yield running


async def known(api: Api, *, in_holdout: bool = False, in_control: bool = False, **traits: Any) -> str:
    """A person who has been heard of and belongs to the group."""
    for n in count():
        name = f"person{n}"
        await api.post("/v1/identify", json={"user_id": name} | traits)
        user_id = await api.resources.pool.fetchval("select user_id from identities where external_id = $1", name)
        is_held_out = stable_share(user_id, "holdout") < policy.HOLDOUT_SHARE
        is_control = not is_held_out and stable_share(user_id, "control") < policy.CONTROL_SHARE
        if (is_held_out, is_control) == (in_holdout, in_control):
            return name
    raise AssertionError


async def speaking_for(api: Api, person: str) -> dict[str, str]:
    """The headers of a publishable key with this person's token."""
    body = {"mode": "required", "keys": [{"kid": "k", "alg": "HS256", "secret": SECRET}]}
    admin = await api.key("sk", "admin")
    assert (await api.put("/v1/identity", json=body, headers=admin)).status_code == 200
    claims = {"sub": person, "exp": int(time.time()) + 600}
    token = jwt.encode(claims, SECRET, algorithm="HS256", headers={"kid": "k"})
    return await api.key("pk") | {"X-User-Token": token}


async def ask(api: Api, person: str, as_caller: dict[str, str] | None = None, **more: Any) -> Any:
    response = await api.post("/v1/decisions", json={"user_id": person} | more, headers=as_caller)
    assert response.status_code == 200, response.text
    return response.json()


def names(answer: Any) -> list[str]:
    return [one["offer_id"] for one in answer["offers"]]


async def about(api: Api, what: str, person: str, answer: Any, **more: Any) -> Any:
    call = api.post if what == "replay" else api.get
    response = await call(f"/v1/decisions/{answer['decision_id']}/{what}", params={"user_id": person}, **more)
    assert response.status_code == 200, response.text
    return response.json()


async def test_somebody_new_gets_an_offer_and_it_can_be_drawn_again(api: Api) -> None:
    response = await api.post("/v1/decisions", json={"anonymous_id": "phone", "slots": 2})
    answer = response.json()
    assert response.status_code == 200
    row = await api.resources.pool.fetchrow("select * from decisions")
    assert str(row["decision_id"]) == answer["decision_id"]
    assert row["snapshot_version"] == answer["snapshot_version"] == 1
    assert set(names(answer)) <= {"milk", "bread", "remedy"}
    again = await api.post(f"/v1/decisions/{answer['decision_id']}/replay", params={"anonymous_id": "phone"})
    assert again.json() == {"identical": True, "differences": [], "propensities": row["propensities"]}


async def test_propensities_are_for_secret_keys(api: Api) -> None:
    person = await known(api)
    told = await ask(api, person, slots=3)
    assert sorted(names(told)) == ["bread", "milk", "remedy"]
    assert [one["slot"] for one in told["offers"]] == [0, 1, 2]
    assert told["offers"][2]["propensity"] == pytest.approx(1)
    assert all(0 < one["propensity"] <= 1 for one in told["offers"])
    assert datetime.fromisoformat(told["expires_at"]) > datetime.now(UTC)
    answer = await ask(api, person, slots=3, as_caller=await speaking_for(api, person))
    assert len(answer["offers"]) == 3
    assert all("propensity" not in one for one in answer["offers"])


async def test_who_is_held_out_gets_nothing_but_is_drawn_for(api: Api) -> None:
    person = await known(api, in_holdout=True)
    answer = await ask(api, person)
    assert (answer["action"], answer["offers"], answer["holdout"]) == ("no_send", [], True)
    assert answer["reason_codes"] == ["holdout"]
    row = await api.resources.pool.fetchrow("select * from decisions")
    assert (row["action"], row["in_holdout"], row["send_probability"]) == (0, True, 0.0)
    assert len(row["offer_ids"]) == len(row["propensities"]) == 1
    assert (await about(api, "replay", person, answer))["identical"]
    assert "small group" in (await about(api, "explanation", person, answer))["because"][0]


async def test_the_control_is_uniform(api: Api) -> None:
    person = await known(api, in_control=True)
    answer = await ask(api, person, slots=2)
    assert (answer["policy"], answer["reason_codes"]) == ("uniform", ["control"])
    assert [one["propensity"] for one in answer["offers"]] == [pytest.approx(1 / 3), pytest.approx(1 / 2)]
    assert (await about(api, "replay", person, answer))["identical"]
    explained = await about(api, "explanation", person, answer)
    assert explained["because"][0].startswith("This deal was picked at random")


async def test_exclusions_known_and_unknown(api: Api) -> None:
    person = await known(api)
    assert sorted(names(await ask(api, person, slots=5, exclude=["milk", "unheard-of"]))) == ["bread", "remedy"]
    nothing = await ask(api, person, exclude=["milk", "bread", "remedy"])
    assert (nothing["action"], nothing["reason_codes"], nothing["holdout"]) == ("no_send", ["no_eligible_offer"], False)
    assert (await about(api, "replay", person, nothing))["identical"]
    assert (await about(api, "explanation", person, nothing))["because"] == ["There was no deal you could use."]
    assert sorted(names(await ask(api, person, slots=5, context={"store_id": "s1"})))[1] == "corner"


async def test_age_opens_what_is_for_adults(api: Api) -> None:
    assert "beer" not in names(await ask(api, await known(api), slots=5))
    assert "beer" in names(await ask(api, await known(api, birth_date="1980-02-29"), slots=5))


async def test_a_thumbs_down_counts_in_the_very_next_decision(api: Api) -> None:
    person = await known(api)
    first = await ask(api, person, slots=3)
    told = await api.post(
        f"/v1/decisions/{first['decision_id']}/feedback", json={"type": "thumbs_down", "slot": 0, "user_id": person}
    )
    assert told.status_code == 200
    after = await ask(api, person, slots=3)
    assert sorted(names(after)) == sorted(names(first)[1:])
    assert after["feedback_applied_through"] == told.json()["feedback_applied_through"]


async def test_a_new_offer_is_in_the_very_next_decision(api: Api) -> None:
    person = await known(api)
    first = await ask(api, person)
    body = msgspec.to_builtins(offer("tea", ["tea"])) | {"offer_id": "tea"}
    assert (await api.post("/v1/offers", json=body)).status_code == 201
    assert "tea" in names(await ask(api, person, slots=5))
    assert (await about(api, "replay", person, first))["identical"]


async def test_habits_are_spoken_of_when_there_are_some(api: Api) -> None:
    person = await known(api)
    first = await ask(api, person, exclude=["bread", "remedy"])
    told = await about(api, "explanation", person, first)
    assert told["headline"] == "Milk"
    assert told["because"] == ["It is one of the deals that hold for you now.", "It is cheaper than usual."]
    assert told["numbers"]["candidates"][0]["offer_id"] == "milk"
    assert told["numbers"]["eligible"] == 1
    async with api.resources.pool.acquire() as connection:
        await decision_world.acquaint(connection, person, ["milk"], 4, datetime.now(UTC))
    after = await ask(api, person, exclude=["bread", "remedy"])
    told = await about(api, "explanation", person, after, headers=await speaking_for(api, person))
    assert told["because"][0] == "You buy milk: it is in about 100 % of your baskets."
    assert told["numbers"] is None


async def test_without_consent_nothing_personal_is_used_or_kept(api: Api) -> None:
    person = await known(api)
    async with api.resources.pool.acquire() as connection:
        await decision_world.acquaint(connection, person, ["bread"], 9, datetime.now(UTC))
    await api.patch(f"/v1/users/{person}/consent", json={"personalization": False})
    answer = await ask(api, person, context={"basket_tags": ["milk"]}, exclude=["milk", "remedy"])
    row = await api.resources.pool.fetchrow("select tastes, request from decisions")
    request = msgspec.json.decode(row["request"])
    assert (row["tastes"], request["basket_tag_ids"], request["may_personalise"]) == (b"", [], False)
    told = await about(api, "explanation", person, answer)
    assert not any("You buy" in line for line in told["because"])
    assert not any("purchases" in line for line in told["data_used"])


async def test_a_purged_snapshot_ends_replays_in_words(api: Api) -> None:
    person = await known(api)
    answer = await ask(api, person)
    await api.resources.pool.execute("delete from snapshots")
    for call, what in ((api.post, "replay"), (api.get, "explanation")):
        refused = await call(f"/v1/decisions/{answer['decision_id']}/{what}", params={"user_id": person})
        assert (refused.status_code, refused.json()["code"]) == (409, "replay_impossible")
        assert "no longer kept" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({}, 400, "/user_id"),
        ({"user_id": ""}, 400, "/user_id"),
        ({"user_id": "a\0b"}, 400, "/user_id"),
        ({"user_id": "x", "slots": 0}, 400, "/slots"),
        ({"user_id": "x", "slots": 17}, 400, "/slots"),
        ({"user_id": "x", "channel": "push"}, 400, "/channel"),
        ({"user_id": "x", "context": {"distance_m": -1}}, 400, "/context/distance_m"),
        ({"user_id": "x", "context": {"weather": "wet"}}, 400, "/context/weather"),
        ({"user_id": "x", "exclude": ["no spaces"]}, 400, "/exclude/0"),
        ({"user_id": "x", "context": {"local_time": "noon"}}, 400, "/context/local_time"),
    ],
)
async def test_what_is_wrong_with_a_request(api: Api, body: Any, status: int, pointer: str) -> None:
    response = await api.post("/v1/decisions", json=body)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]
    assert await api.resources.pool.fetchval("select count(*) from decisions") == 0


async def test_numbers_beyond_floats_are_refused(api: Api) -> None:
    body = b'{"user_id": "x", "context": {"distance_m": 1e400}}'
    response = await api.post("/v1/decisions", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400


@pytest.mark.parametrize(
    "context",
    [
        {"local_time": "0001-01-01T00:00:00Z", "distance_m": 0},
        {"local_time": "9999-12-31T23:59:59", "distance_m": 5e7},
        {"local_time": "2026-03-02T09:30:00+14:00", "temperature_c": -90, "is_raining": True},
        {"basket_tags": ["milk"] * 64, "store_id": "s1"},
        {"basket_tags": [" MILK ", "no such thing", "x" * 64], "store_id": ""},
    ],
)
async def test_contexts_at_their_limits(api: Api, context: dict[str, Any]) -> None:
    person = await known(api, time_zone="America/New_York")
    answer = await ask(api, person, context=context)
    assert (await about(api, "replay", person, answer))["identical"]


async def test_of_whom_and_by_whom_a_decision_may_be_told(api: Api) -> None:
    person = await known(api)
    answer = await ask(api, person)
    path = f"/v1/decisions/{answer['decision_id']}"
    for params, status in (
        ({}, 400),
        ({"user_id": ""}, 400),
        ({"user_id": "a\0"}, 400),
        ({"user_id": "x" * 129}, 400),
        ({"user_id": "nobody"}, 404),
        ({"anonymous_id": person}, 404),
    ):
        assert (await api.post(path + "/replay", params=params)).status_code == status
        assert (await api.get(path + "/explanation", params=params)).status_code == status
    own, others = await speaking_for(api, person), await speaking_for(api, "other")
    assert (await api.get(path + "/explanation", headers=own)).status_code == 200
    assert (await api.get(path + "/explanation", params={"user_id": person}, headers=others)).status_code == 403
    assert (await api.post("/v1/decisions", json={"user_id": person}, headers=others)).status_code == 403
    assert (await api.post(path + "/replay", params={"user_id": person}, headers=own)).status_code == 403
    other = path.replace(path[14:18], "0000")
    assert (await api.get(other + "/explanation", params={"user_id": person})).status_code == 404
    assert (await api.get("/v1/decisions/7/explanation", params={"user_id": person})).status_code == 404


async def test_one_bad_request_fails_alone(api: Api) -> None:
    """A person whose row breaks the pipeline among others of the same batch."""
    people = [await known(api), *(f"other{n}" for n in range(6))]
    await ask(api, people[0])
    bad = await api.resources.pool.fetchval("select user_id from identities where external_id = $1", people[0])
    await api.resources.pool.execute(
        "update users set snoozed_offer_ids = '{1,2}', snoozed_until = array[now()] where user_id = $1", bad
    )
    responses = await asyncio.gather(*(api.post("/v1/decisions", json={"user_id": name}) for name in people))
    assert [response.status_code for response in responses] == [500] + [200] * 6


async def test_a_damaged_state_makes_a_stranger_of_its_owner(api: Api) -> None:
    person = await known(api)
    user_id = await api.resources.pool.fetchval("select user_id from identities where external_id = $1", person)
    for damaged in (b"\x09" * 40, b"\x01\x00"):
        await api.resources.pool.execute(
            "insert into user_state (user_id, tastes, rhythm, updated_at) values ($1, $2, '', now())"
            " on conflict (user_id) do update set tastes = excluded.tastes",
            user_id,
            damaged,
        )
        answer = await ask(api, person)
        assert answer["action"] == "offer"
        assert (await about(api, "replay", person, answer))["identical"]


async def test_before_the_first_snapshot_decisions_are_refused(database: str) -> None:
    async with serving(database) as running:
        running.headers.update(await running.key("sk", "users"))
        response = await running.post("/v1/decisions", json={"user_id": "x"})
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")


async def keyed(api: Api, key: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> tuple[Any, bool]:
    response = await api.post("/v1/decisions", json=body, headers=(headers or {}) | {"Idempotency-Key": key})
    return response.json(), response.headers.get("idempotent-replayed") == "true"


async def test_a_repeated_request_is_the_same_decision(api: Api) -> None:
    body = {"user_id": await known(api), "slots": 2}
    first, is_replay = await keyed(api, "k", body)
    assert not is_replay
    assert all(one["propensity"] > 0 for one in first["offers"])
    assert await keyed(api, "k", body) == (first, True)
    assert (await keyed(api, "k2", body))[0]["decision_id"] != first["decision_id"]
    assert await api.resources.pool.fetchval("select count(*) from decisions") == 2
    reused, _ = await keyed(api, "k", body | {"slots": 1})
    assert (reused["status"], reused["code"]) == (422, "idempotency_key_reused")
    assert (await keyed(api, "not a key", body))[0]["status"] == 400
    path = f"/v1/decisions/{first['decision_id']}/feedback"
    answer = {"type": "opened", "user_id": body["user_id"]}
    assert (await api.post(path, json=answer, headers={"Idempotency-Key": "k"})).status_code == 422
    assert await api.resources.pool.fetchval("select count(*) from decisions") == 2


async def test_of_many_at_once_all_get_the_decision_that_was_kept_first(api: Api) -> None:
    """More than there are connections: none is held while the decision is waited for."""
    body = {"user_id": await known(api)}
    told = await asyncio.wait_for(asyncio.gather(*(keyed(api, "k", body) for _ in range(24))), 10)
    assert len({answer["decision_id"] for answer, _ in told}) == 1
    assert [is_replay for _, is_replay in told].count(False) == 1


async def test_a_kept_decision_is_its_owners_alone(api: Api) -> None:
    ann, bob = await speaking_for(api, "ann"), await speaking_for(api, "bob")
    bob["Authorization"] = ann["Authorization"]
    first, _ = await keyed(api, "1", {"slots": 2}, ann)
    other, is_replay = await keyed(api, "1", {"slots": 2}, bob)
    assert not is_replay
    assert other["decision_id"] != first["decision_id"]
    again, is_replay = await keyed(api, "1", {"slots": 2}, ann)
    assert is_replay
    assert again == first
    assert not any("propensity" in one for one in again["offers"])


async def test_what_was_kept_for_a_stranger_is_not_told_of_a_known_person(api: Api) -> None:
    pk = await speaking_for(api, "ann")
    del pk["X-User-Token"]
    body = {"anonymous_id": "phone"}
    first, _ = await keyed(api, "1", body, pk)
    assert await keyed(api, "1", body, pk) == (first, True)
    await api.post("/v1/identify", json={"user_id": "ann", "anonymous_id": "phone"})
    refused, _ = await keyed(api, "1", body, pk)
    assert (refused["status"], refused["code"]) == (403, "user_token_required")


async def test_a_decision_that_was_on_its_way_during_a_merge_is_not_lost(api: Api) -> None:
    """Read for the stranger, logged after they had become a part of Ann."""
    ann = await known(api)
    await api.post("/v1/identify", json={"anonymous_id": "phone"})
    stranger, resources, now = PersonKey(ANONYMOUS, "phone"), api.resources, datetime.now(UTC)
    async with resources.pool.acquire() as connection:
        found = await decision_people.by_key(connection, [stranger])
        await api.post("/v1/identify", json={"user_id": ann, "anonymous_id": "phone"})
        catalogue = await resources.catalogue.refresh(connection)
        model = resources.snapshot.current
        assert model is not None
        asked = deciding.ask(rules=policy.in_app_rules(3), entropy=bytes(range(10)))
        (late,) = await pipeline.decide(connection, [(asked, found.people[stranger])], catalogue, model, now)
        answer = {"decision_id": str(late.decision_id)}
        assert (await about(api, "replay", ann, answer))["identical"]
        assert (await about(api, "explanation", ann, answer))["headline"]
        path = f"/v1/decisions/{late.decision_id}"
        await api.post("/v1/identify", json={"user_id": "bob"})
        for name in ("bob", "nobody"):
            assert (await api.get(path + "/explanation", params={"user_id": name})).status_code == 404
        body = {"type": "thumbs_down", "slot": 1, "user_id": ann}
        assert (await api.post(path + "/feedback", json=body)).status_code == 200
        assert catalogue.offers[late.offer_indices[1]].offer.offer_id not in names(await ask(api, ann, slots=3))
        owner = await connection.fetchval("select user_id from identities where external_id = $1", ann)
        assert (
            await connection.fetchval("select user_id from decisions where decision_id = $1", late.decision_id) == owner
        )
        assert len(await decision_features.load(connection, {(owner, late.decision_id)})) == 1, "learning finds it too"


async def test_reading_a_decision_uses_indices(api: Api) -> None:
    """Asking who was merged into a person must not read everybody."""
    async with api.resources.pool.acquire() as connection, connection.transaction():
        await connection.execute("set local enable_seqscan = off")
        plan = await connection.fetch("explain " + decisions._READ, 1, uuid7(datetime.now(UTC), bytes(10)))
    assert "Seq Scan" not in str(plan)
    assert "users_merged" in str(plan)


async def test_a_decision_is_shown_to_its_person_alone(api: Api) -> None:
    ann = await known(api)
    other = await known(api, in_holdout=True)
    told = (await api.post("/v1/decisions", json={"user_id": ann, "slots": 2})).json()
    own = await speaking_for(api, ann)
    path = f"/v1/decisions/{told['decision_id']}"
    shown = await api.get(path, headers=own)
    assert shown.status_code == 200, shown.text
    assert shown.json()["action"] == "offer"
    kept = ("offer_id", "slot", "creative")
    assert shown.json()["offers"] == [{name: one[name] for name in kept} for one in told["offers"]]
    assert (await api.get(path, headers=await speaking_for(api, other))).status_code == 404
    assert (await api.get(path, params={"user_id": other}, headers=own)).status_code == 403
    silent = (await api.post("/v1/decisions", json={"user_id": other})).json()
    assert silent["action"] == "no_send"
    again = (await api.get(f"/v1/decisions/{silent['decision_id']}", params={"user_id": other})).json()
    assert (again["action"], again["offers"]) == ("no_send", [])
    for one in told["offers"]:
        await api.delete(f"/v1/offers/{one['offer_id']}")
    assert (await api.get(path, headers=own)).json()["offers"] == []
