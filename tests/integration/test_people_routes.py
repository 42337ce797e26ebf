"""Identify, preferences, consent and devices over HTTP: nothing of a person is lost, the stricter wish wins."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from schema.event import EventType
from schema.ids import uuid7
from service.ingest.checked import CheckedEvent
from service.store.event_ids import id_of, key_of
from service.store.people import ANONYMOUS, USER, PersonKey, Speaker
from service.store.user_state import State
from service.store.zones import local_hour
from tests.integration.serving import Api, serving
from tests.integration.test_ingest import entries_of

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest_asyncio.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database) as running:
        running.headers.update(await running.key("sk", "users", "ingest"))
        for offer in ("cola", "bagel", "soup"):
            await running.resources.pool.execute(
                "insert into offers (external_id, created_at) values ($1, $2)", offer, NOW
            )
        yield running


async def report(api: Api, person: PersonKey, name: str) -> bool:
    event = CheckedEvent(
        Speaker(person), key_of(name), EventType.VIEW, NOW, NOW, None, None, 0, (), makes_tags=False, properties=b"{}"
    )
    return (await api.resources.ingest.submit([event]))[0] is True


async def hour_of(api: Api, person: PersonKey, name: str) -> int:
    """The hour that is logged of an event reported now."""
    assert await report(api, person, name)
    event_id = id_of((await ids(api))[person], key_of(name), NOW)
    (hour,) = [one.local_hour for one in await entries_of(api.resources.pool) if one.event_id == event_id]
    return int(hour)


async def ids(api: Api) -> dict[tuple[int, str], int]:
    rows = await api.resources.pool.fetch("select kind, external_id, user_id from identities")
    return {(row[0], row[1]): row[2] for row in rows}


async def identify(api: Api, **body: Any) -> dict[str, Any]:
    answer = await api.post("/v1/identify", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def test_traits_are_merged_and_the_version_rises(api: Api) -> None:
    await identify(api, user_id="ann", time_zone="Europe/Berlin", traits={"tier": "gold", "age": 30})
    told = await identify(api, user_id="ann", locale="de", traits={"age": 31})
    row = await api.resources.pool.fetchrow("select * from users")
    assert (row["time_zone"], row["locale"], row["traits"]) == ("Europe/Berlin", "de", {"tier": "gold", "age": 31})
    assert row["version"] == 2
    assert told["applied"] is True
    assert datetime.fromisoformat(told["feedback_applied_through"]) == row["feedback_applied_through"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"user_id": "ann", "time_zone": "Mars/Olympus"}, "/time_zone"),
        ({"user_id": "ann", "time_zone": "../../etc/passwd"}, "/time_zone"),
        ({"user_id": "ann", "birth_date": "soon"}, "/birth_date"),
        ({"user_id": "ann", "traits": {"a": "x" * 70_000}}, "/traits"),
        ({"user_id": "a\x00"}, "/user_id"),
        ({"user_id": "ann", "tags": ["vip", "a;b"]}, "/tags/1"),
        ({"user_id": "ann", "add_tags": ["x" * 65]}, "/add_tags/0"),
        ({"user_id": "ann", "tags": ["a"], "add_tags": [f"t{n}" for n in range(64)]}, "/add_tags"),
    ],
)
async def test_a_bad_profile_writes_nothing(api: Api, body: dict[str, Any], pointer: str) -> None:
    answer = await api.post("/v1/identify", json=body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert await api.resources.pool.fetchval("select count(*) from users") == 0


async def test_tags_are_spelled_in_one_way_and_change_by_steps_or_whole(api: Api) -> None:
    async def after(**told: Any) -> list[str]:
        await identify(api, user_id="ann", **told)
        return await api.resources.pool.fetchval("select tags from users")  # type: ignore[no-any-return]

    assert await after(tags=["VIP ", "staff", "vip"]) == ["staff", "vip"]
    assert await after(locale="de") == ["staff", "vip"]
    assert await after(add_tags=["Newsletter", "staff"], remove_tags=["vip", "unknown"]) == ["newsletter", "staff"]
    assert await after(tags=["vip"]) == ["vip"]
    assert await after(tags=[]) == []


async def test_only_the_shop_says_how_people_are_tagged(api: Api) -> None:
    await api.resources.pool.execute("update identity_settings set mode = 'disabled'")
    await api.resources.access.reload()
    pk = await api.key("pk")
    assert (await api.post("/v1/identify", json={"user_id": "ann"}, headers=pk)).status_code == 200
    for told in ({"tags": []}, {"add_tags": ["vip"]}, {"remove_tags": ["blocked"]}):
        answer = await api.post("/v1/identify", json={"user_id": "ann"} | told, headers=pk)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), told


async def test_of_two_who_are_one_the_tags_of_both_stay_however_many(api: Api) -> None:
    await identify(api, user_id="ann", tags=[f"a{n:02}" for n in range(64)])
    await identify(api, anonymous_id="phone", tags=[f"p{n:02}" for n in range(64)])
    await identify(api, user_id="ann", anonymous_id="phone", remove_tags=["a00"])
    kept = await api.resources.pool.fetchval("select tags from users where merged_into is null")
    assert kept == [f"a{n:02}" for n in range(1, 64)] + [f"p{n:02}" for n in range(64)]


async def test_a_stranger_who_signs_up_stays_the_same_user(api: Api) -> None:
    await report(api, PersonKey(ANONYMOUS, "phone"), "e1")
    before = (await ids(api))[ANONYMOUS, "phone"]
    await identify(api, user_id="ann", anonymous_id="phone")
    assert await ids(api) == {(ANONYMOUS, "phone"): before, (USER, "ann"): before}
    assert await api.resources.pool.fetchval("select external_id from users") == "ann"


async def test_a_new_phone_of_a_known_user_makes_no_second_user(api: Api) -> None:
    await identify(api, user_id="ann", anonymous_id="phone")
    await identify(api, user_id="ann", anonymous_id="tablet")
    assert len(set((await ids(api)).values())) == 1
    assert await api.resources.pool.fetchval("select count(*) from users") == 1


async def test_two_known_people_on_one_phone_stay_two(api: Api) -> None:
    await identify(api, user_id="ann", anonymous_id="phone", traits={"a": 1})
    await identify(api, user_id="bob", anonymous_id="phone", traits={"b": 1})
    known = await ids(api)
    assert known[USER, "ann"] != known[USER, "bob"] == known[ANONYMOUS, "phone"]
    assert await api.resources.pool.fetchval("select count(*) from users where merged_into is null") == 2


async def _two_histories(api: Api) -> tuple[int, int]:
    """Ann with a wish or two, and a stranger with others; gives both users."""
    await report(api, PersonKey(USER, "ann"), "e1")
    await report(api, PersonKey(ANONYMOUS, "phone"), "e2")
    known = await ids(api)
    ann, stranger = known[USER, "ann"], known[ANONYMOUS, "phone"]
    pool = api.resources.pool
    await pool.execute(
        """update users set vetoed_offer_ids = '{1,2}', snoozed_offer_ids = '{3,4}', snoozed_until = array[$2, $3]::timestamptz[],
                  muted_until = $2, time_zone = 'Europe/Paris', traits = '{"a": 1, "c": 1}' where user_id = $1""",
        ann,
        NOW + timedelta(days=1),
        NOW + timedelta(days=9),
    )
    await pool.execute(
        """update users set vetoed_offer_ids = '{2,3}', snoozed_offer_ids = '{4,3}', snoozed_until = array[$2, $3]::timestamptz[],
                  muted_until = $3, opted_out_at = $4, has_push_consent = false, time_zone = 'Asia/Tokyo', locale = 'ja',
                  traits = '{"a": 2, "b": 2}' where user_id = $1""",
        stranger, NOW + timedelta(days=2), NOW + timedelta(days=5), NOW - timedelta(days=1),
    )  # fmt: skip
    return ann, stranger


async def test_a_merge_loses_nothing_and_keeps_the_stricter(api: Api) -> None:
    ann, stranger = await _two_histories(api)
    pool = api.resources.pool
    await pool.execute(
        """insert into devices (user_id, device_id, address, address_kind, platform, address_updated_at, last_seen_at)
           values ($1, 'd1', 'token1', 'token', 'ios', now(), now()), ($2, 'd2', 'token2', 'token', 'ios', now(), now())""",
        ann, stranger,
    )  # fmt: skip
    await identify(api, user_id="ann", anonymous_id="phone")
    assert set((await ids(api)).values()) == {ann}
    row = await pool.fetchrow("select * from users where user_id = $1", ann)
    assert row["vetoed_offer_ids"] == [1, 2, 3]
    assert dict(zip(row["snoozed_offer_ids"], row["snoozed_until"], strict=True)) == {
        3: NOW + timedelta(days=5),
        4: NOW + timedelta(days=9),
    }
    assert (row["muted_until"], row["opted_out_at"]) == (NOW + timedelta(days=5), NOW - timedelta(days=1))
    assert (row["has_push_consent"], row["has_personalization_consent"]) == (False, True)
    assert (row["time_zone"], row["locale"], row["traits"]) == ("Europe/Paris", "ja", {"a": 1, "b": 2, "c": 1})
    assert await pool.fetchval("select merged_into from users where user_id = $1", stranger) == ann
    for table in ("devices", "events", "event_keys"):
        assert await pool.fetch(f"select user_id, count(*) from {table} group by 1") == [(ann, 2)], table


async def test_an_event_sent_again_after_the_merge_is_still_a_duplicate(api: Api) -> None:
    await _two_histories(api)
    await identify(api, user_id="ann", anonymous_id="phone")
    assert await report(api, PersonKey(ANONYMOUS, "phone"), "e2") is False
    assert await report(api, PersonKey(ANONYMOUS, "phone"), "e3") is True
    assert len(await api.resources.pool.fetch("select distinct user_id from events")) == 1


async def test_what_was_learned_is_merged(api: Api) -> None:
    from service.store import identify as identifying  # noqa: PLC0415 - the name of the helper above hides it

    ann, stranger = await _two_histories(api)
    pool = api.resources.pool
    for user, tastes in ((ann, b"t1"), (stranger, b"t2")):
        await pool.execute(
            "insert into user_state values ($1, $2, $3, now(), $4)", user, tastes, tastes[::-1], tastes * 2
        )
    async with pool.acquire() as connection:
        await identifying.identify(
            connection, Speaker(PersonKey(USER, "ann")), "phone", identifying.Profile(None, None, None, {}), NOW,
            merge_state=lambda kept, lost: State(*(ours + theirs for ours, theirs in zip(kept, lost, strict=True))),
        )  # fmt: skip
    rows = await pool.fetch("select user_id, tastes, rhythm, personal from user_state")
    assert rows == [(ann, b"t1t2", b"1t2t", b"t1t1t2t2")]


async def test_logins_and_events_at_the_same_time_neither_deadlock_nor_lose(api: Api) -> None:
    async def log_in(phone: int) -> None:
        await identify(api, user_id=f"u{phone % 3}", anonymous_id=f"a{phone}")

    async def send(turn: int) -> None:
        for phone in range(8):
            person = (
                PersonKey(ANONYMOUS, f"a{(phone + turn) % 8}")
                if turn % 2
                else PersonKey(USER, f"u{(phone + turn) % 3}")
            )
            assert await report(api, person, f"e{turn}-{phone}")

    await asyncio.gather(*map(send, range(6)), *map(log_in, range(8)))
    await asyncio.gather(*map(log_in, range(8)))
    pool = api.resources.pool
    assert len(set((await ids(api)).values())) == 3
    assert await pool.fetchval("select count(*) from events") == 48
    stranded = "select count(*) from events join users using (user_id) where merged_into is not null"
    assert await pool.fetchval(stranded) == 0


async def test_a_clock_that_changes_is_followed(api: Api) -> None:
    ann = PersonKey(USER, "ann")
    for turn, zone in enumerate(("Asia/Tokyo", "America/New_York", "Europe/Rome")):
        phone = {"user_id": "ann", "token": "t", "platform": "ios", "time_zone": zone}
        assert (await api.put("/v1/devices/phone", json=phone)).status_code in {200, 201}
        async with asyncio.timeout(5):
            for count in range(1_000):
                if await hour_of(api, ann, f"{turn}-{count}") == local_hour(NOW, zone):
                    break
                await asyncio.sleep(0.01)
        assert await hour_of(api, ann, f"{turn}, remembered") == local_hour(NOW, zone)


async def test_preferences_change_by_steps_and_can_be_undone(api: Api) -> None:
    path = "/v1/users/ann/preferences"
    assert (await api.get(path)).status_code == 404
    until = (NOW + timedelta(days=3)).isoformat()
    told = (await api.patch(path, json={"add_vetoes": ["cola", "bagel"], "muted_until": until})).json()
    assert told["vetoes"] == ["bagel", "cola"]
    await api.patch(path, json={"add_vetoes": ["cola"]})
    told = (await api.patch(path, json={"remove_vetoes": ["bagel"]})).json()
    assert told["vetoes"] == ["cola"]
    assert datetime.fromisoformat(told["muted_until"]) == datetime.fromisoformat(until)
    assert (await api.patch(path, json={"muted_until": None})).json()["muted_until"] is None
    assert (await api.get(path)).json()["vetoes"] == ["cola"]
    answer = await api.patch(path, json={"add_vetoes": ["cola", "pepsi"]})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/add_vetoes/1")


async def test_consent_given_anew_ends_an_opt_out(api: Api) -> None:
    path = "/v1/users/ann/consent"
    told = (await api.patch(path, json={"push": False, "personalization": False})).json()
    assert (told["push"], told["personalization"]) == (False, False)
    await api.resources.pool.execute("update users set opted_out_at = now()")
    told = (await api.patch(path, json={"personalization": True})).json()
    assert (told["push"], told["personalization"], told["opted_out_at"] is None) == (False, True, False)
    told = (await api.patch(path, json={"push": True})).json()
    assert (told["push"], told["opted_out_at"]) == (True, None)


async def test_a_publishable_key_sees_only_its_own_user(api: Api) -> None:
    await identify(api, user_id="ann")
    pk = await api.key("pk")
    for method, path, body in (
        ("GET", "/v1/users/ann/preferences", None),
        ("PATCH", "/v1/users/ann/consent", {"push": True}),
        ("PUT", "/v1/devices/d", {"user_id": "ann", "token": "t", "platform": "ios"}),
        ("DELETE", "/v1/devices/d?user_id=ann", None),
        ("POST", "/v1/identify", {"user_id": "ann"}),
    ):
        answer = await api.request(method, path, json=body, headers=pk)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path


async def _put(api: Api, device: str, user: str, token: str, **more: Any) -> int:
    body = {"user_id": user, "token": token, "platform": "android"} | more
    return (await api.put(f"/v1/devices/{device}", json=body)).status_code


async def test_an_address_belongs_to_one_person(api: Api) -> None:
    pool = api.resources.pool
    assert await _put(api, "d1", "ann", "token") == 200
    first = await pool.fetchrow("select * from devices")
    assert await _put(api, "d1", "ann", "token", app_version="2") == 200
    again = await pool.fetchrow("select * from devices")
    assert (again["address_updated_at"], again["app_version"]) == (first["address_updated_at"], "2")
    assert await _put(api, "d1", "ann", "token2") == 200
    assert (await pool.fetchrow("select * from devices"))["address_updated_at"] > first["address_updated_at"]
    assert await _put(api, "d1", "bob", "token2") == 200
    rows = await pool.fetch("select u.external_id, d.device_id from devices d join users u using (user_id)")
    assert rows == [("bob", "d1")]


async def test_an_address_wanted_by_many_at_once_ends_with_one(api: Api) -> None:
    statuses = await asyncio.gather(*(_put(api, f"d{i % 3}", f"user{i % 4}", "token") for i in range(16)))
    assert set(statuses) == {200}
    assert await api.resources.pool.fetchval("select count(*) from devices") == 1


async def test_a_device_is_forgotten_once(api: Api) -> None:
    await _put(api, "d1", "ann", "token")
    assert (await api.delete("/v1/devices/d1?user_id=ann")).status_code == 204
    assert (await api.delete("/v1/devices/d1?user_id=ann")).status_code == 404
    assert (await api.delete("/v1/devices/d%00?user_id=ann")).status_code == 400
    assert await _put(api, "d1", "ann", "token", time_zone="Mars/Olympus") == 400


def test_event_ids_are_of_their_instant() -> None:
    assert uuid7(NOW, bytes(10)).int >> 80 == int(NOW.timestamp() * 1000)
