"""An answer to a decision: applied before it is acknowledged, once, and for the right person."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from schema.event import EventType
from schema.ids import instant_of, partition_of, uuid7
from service.clock import SystemClock
from service.learning import visible
from service.learning.learner import Learner
from service.learning.visible import Counted
from service.store import event_log, partitions
from service.store.catalogue import CatalogueCache
from tests.integration.serving import Api, serving

AT = datetime.now(UTC) - timedelta(hours=1)
DECISION = uuid7(AT, bytes(range(10)))
SILENT = uuid7(AT, bytes(range(1, 11)))

INSERT = """
    insert into decisions (user_id, decision_id, placement, channel, action, in_holdout, in_control, is_degraded, policy,
        snapshot_version, catalogue_version, user_version, request, tastes, eligible, offer_ids, propensities, send_probability,
        phi, predictions, pmf_sha256, reason_codes)
    values ($1, $2, 'home', 0, $3, false, false, false, 'test', 1, 1, 0, '{}', '', '', '{11,12}', '{0.5,0.5}', 1, '', '', '', '{}')
"""


@pytest_asyncio.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database) as running:
        running.headers.update(await running.key("sk", "users", "ingest"))
        await running.post("/v1/identify", json={"anonymous_id": "phone", "time_zone": "UTC"})
        await running.post("/v1/identify", json={"user_id": "bob"})
        user = await running.resources.pool.fetchval("select user_id from identities where external_id = 'phone'")
        for decision, action in ((DECISION, 1), (SILENT, 0)):
            await running.resources.pool.execute(INSERT, user, decision, action)
        yield running


async def answer(api: Api, kind: str, slot: int = 0, decision: UUID = DECISION, **more: Any) -> Any:
    body = {"type": kind, "slot": slot, "anonymous_id": "phone"} | more
    return await api.post(f"/v1/decisions/{decision}/feedback", json={k: v for k, v in body.items() if v is not None})


async def ann(api: Api) -> Any:
    query = "select u.* from users u join identities i using (user_id) where i.external_id = 'phone'"
    return await api.resources.pool.fetchrow(query)


async def entries(api: Api) -> list[Any]:
    async with api.resources.pool.acquire() as connection:
        batches, _ = await event_log.read(connection, dict.fromkeys(range(64), 0))
    return [entry for batch in batches for entry in batch.entries]


async def test_a_thumbs_down_is_a_veto_at_once_and_only_once(api: Api) -> None:
    before = await ann(api)
    first = await answer(api, "thumbs_down", slot=1)
    assert first.status_code == 200
    after = await ann(api)
    assert after["vetoed_offer_ids"] == [12]
    assert after["version"] == before["version"] + 1
    assert datetime.fromisoformat(first.json()["feedback_applied_through"]) == after["feedback_applied_through"]
    again = await answer(api, "thumbs_down", slot=1)
    assert again.json() == first.json()
    assert (await ann(api))["version"] == after["version"]
    (entry,) = await entries(api)
    assert (entry.type, entry.offer_id, entry.decision_id, entry.slot) == (EventType.THUMBS_DOWN, 12, DECISION, 1)
    assert entry.local_hour == entry.occurred_at.weekday() * 24 + entry.occurred_at.hour
    assert await api.resources.pool.fetchval("select count(*) from events") == 1


async def test_many_at_once_apply_once(api: Api) -> None:
    told = await asyncio.gather(*(answer(api, "thumbs_down") for _ in range(12)))
    assert {one.status_code for one in told} == {200}
    assert len({one.text for one in told}) == 1
    assert (await ann(api))["vetoed_offer_ids"] == [11]
    assert len(await entries(api)) == 1


async def test_a_veto_undone_can_be_meant_again(api: Api) -> None:
    await answer(api, "thumbs_down")
    await api.resources.pool.execute("update users set vetoed_offer_ids = '{}'")
    assert (await answer(api, "thumbs_down")).status_code == 200
    assert (await ann(api))["vetoed_offer_ids"] == [11]
    assert len(await entries(api)) == 1


async def test_not_now_holds_fourteen_days_and_does_not_grow(api: Api) -> None:
    await answer(api, "not_now")
    first = await ann(api)
    assert first["snoozed_offer_ids"] == [11]
    assert first["snoozed_until"][0] == first["feedback_applied_through"] + timedelta(days=14)
    await answer(api, "not_now")
    assert (await ann(api))["snoozed_until"] == first["snoozed_until"]
    await answer(api, "not_now", slot=1)
    assert (await ann(api))["snoozed_offer_ids"] == [11, 12]
    await api.resources.pool.execute(
        "update users set snoozed_until = array[now() - interval '1 day', now() + interval '1 day']"
    )
    await answer(api, "opted_out")
    assert (await ann(api))["snoozed_offer_ids"] == [11, 12]


async def test_opting_out_ends_push(api: Api) -> None:
    await answer(api, "opted_out")
    row = await ann(api)
    assert row["has_push_consent"] is False
    assert row["opted_out_at"] == row["feedback_applied_through"]


@pytest.mark.parametrize("kind", ["shown", "opened", "dismissed", "redeemed", "thumbs_up"])
async def test_the_others_are_only_logged(api: Api, kind: str) -> None:
    before = await ann(api)
    assert (await answer(api, kind)).status_code == 200
    after = await ann(api)
    changed = {name for name in dict(before) if before[name] != after[name]}
    assert changed == {"version", "feedback_applied_through"}
    assert [entry.type for entry in await entries(api)] == [EventType[kind.upper()]]


async def test_only_the_till_redeems(api: Api) -> None:
    pk = await api.key("pk")
    body = {"type": "redeemed", "anonymous_id": "phone"}
    told = await api.post(f"/v1/decisions/{DECISION}/feedback", json=body, headers=pk)
    assert (told.status_code, told.json()["code"]) == (403, "forbidden")
    told = await api.post(f"/v1/decisions/{DECISION}/feedback", json=body | {"type": "opened"}, headers=pk)
    assert told.status_code == 200


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"anonymous_id": "nobody"}, 404),
        ({"anonymous_id": None, "user_id": "bob"}, 404),
        ({"decision": uuid7(AT, bytes(10))}, 404),
        ({"decision": SILENT}, 400),
        ({"slot": 2}, 400),
        ({"slot": 64}, 400),
        ({"anonymous_id": None}, 400),
        ({"occurred_at": "2026-01-01T00:00:00"}, 400),
        ({"kind": "liked"}, 400),
    ],
)
async def test_what_does_not_fit_changes_nothing(api: Api, change: dict[str, Any], status: int) -> None:
    told = await answer(api, **({"kind": "thumbs_down"} | change))
    assert told.status_code == status
    assert await entries(api) == []
    assert (await ann(api))["vetoed_offer_ids"] == []


@pytest.mark.parametrize(("offset_s", "expected"), [(-7200, "decision"), (3600, "now"), (1800, "told")])
async def test_an_answer_lies_between_the_decision_and_now(api: Api, offset_s: int, expected: str) -> None:
    told_at = AT + timedelta(seconds=offset_s) if expected != "now" else datetime.now(UTC) + timedelta(days=1)
    await answer(api, "opened", occurred_at=told_at.isoformat())
    row = await api.resources.pool.fetchrow("select occurred_at, received_at from events")
    assert (
        row["occurred_at"] == {"decision": instant_of(DECISION), "now": row["received_at"], "told": told_at}[expected]
    )


async def test_after_a_merge_the_decision_is_still_answered(api: Api) -> None:
    await api.post("/v1/identify", json={"user_id": "bob", "anonymous_id": "phone"})
    told = await answer(api, "thumbs_down", anonymous_id=None, user_id="bob")
    assert told.status_code == 200
    assert (await ann(api))["vetoed_offer_ids"] == [11]


async def test_when_it_is_acknowledged_it_has_been_learned(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visible, "PAUSES_S", (0.01,) * 1000)  # however busy the machine is
    pool, stop = api.resources.pool, asyncio.Event()
    learner = Learner(pool, CatalogueCache())
    running = asyncio.create_task(learner.run(SystemClock(), stop))
    try:
        for kind in ("shown", "opened", "thumbs_up"):
            assert (await answer(api, kind)).status_code == 200
            behind = "select count(*) from event_log_heads h join learner_partitions p using (partition) where p.last_seq < h.seq"
            assert await pool.fetchval(behind) == 0
    finally:
        stop.set()
        await running


async def test_without_a_learner_it_is_acknowledged_all_the_same(api: Api) -> None:
    async with asyncio.timeout(2.0):
        assert (await answer(api, "shown")).status_code == 200
    counted = Counted(api.resources.pool)
    assert not await counted.until(partition_of((await ann(api))["user_id"]), 1)
    async with asyncio.timeout(0.2):  # one that is far behind is not waited for
        assert not await counted.until(5, 1000)


async def test_those_who_wait_together_share_a_look(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    found = partitions.counted_through

    async def counting(connection: Any) -> dict[int, int]:
        looks.append(asyncio.get_running_loop().time())
        return await found(connection)

    monkeypatch.setattr(partitions, "counted_through", counting)
    monkeypatch.setattr(visible, "FRESH_S", 3.0)
    counted = Counted(api.resources.pool)
    assert not any(await asyncio.gather(*(counted.until(n % 64, 1) for n in range(200))))
    assert len(looks) == 1
