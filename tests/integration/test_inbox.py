"""The in-app inbox over HTTP: one decision serves push and inbox, nothing is lost or doubled between pulls, and what is over is gone at once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from bandits.features import DIMS, FEATURE_SET
from push.channel import Message, Outcome, Rejected
from push.clock import standing
from push.decider import Draft
from push.drawing import fan_out
from push.drawing.due import DueDrawer
from push.drawing.fan_out import Told
from push.outbox import State
from push.sending.dispatcher import Dispatcher
from schema.event import EventType
from schema.ids import stable_entropy, uuid7
from service.decision.policy import BUILT_IN
from service.learning.composer import Composer
from service.learning.learner import Learner
from service.planning.exposure_journal import EventLogJournal
from service.planning.push_decider import PipelineDecider
from service.store import event_log, inbox
from service.store.catalogue import CatalogueCache
from service.store.current_policy import PolicyCache
from service.store.current_snapshot import SnapshotCache
from tests.integration import push_world
from tests.integration.push_world import HOUR, SEED, states
from tests.integration.serving import Api, serving

NOW = datetime.now(UTC)
LIFE = timedelta(hours=6)
RESOLUTE = msgspec.structs.replace(BUILT_IN, gate_floor=0.0001)
"""By the built-in gate one of a hundred that are worth sending is held back, and the draw hangs on the instant."""


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database) as served:
        served.headers.update(await served.key("sk", "users", "ingest", "campaigns", "offers"))
        yield served


async def put(api: Api, campaign: Any, user_id: int, offer_id: int, turn: int, life: timedelta = LIFE) -> Any:
    """Puts a decision into somebody's inbox, as the draw does."""
    decision_id = uuid7(NOW, stable_entropy(campaign.id.bytes, bytes([turn]), user_id.to_bytes(8)))
    draft = Draft(offer_id, "Coffee", "Today", None, {"decision_id": str(decision_id)})
    async with api.resources.pool.acquire() as connection, connection.transaction():
        await connection.execute(push_world._DECISION, user_id, decision_id, 1, [offer_id])
        await fan_out.tell(connection, [Told(campaign, user_id, decision_id, NOW + life, decision_id, draft)], NOW)
    return decision_id


async def known(api: Api, *names: str) -> None:
    for name in names:
        assert (await api.post("/v1/identify", json={"user_id": name, "time_zone": "UTC"})).status_code == 200


async def pull(api: Api, user: str = "ann", **query: Any) -> Any:
    answer = await api.get("/v1/inbox", params={"user_id": user} | query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def log(api: Api) -> list[Any]:
    async with api.resources.pool.acquire() as connection:
        batches, _ = await event_log.read(connection, dict.fromkeys(range(64), 0))
    return [entry for batch in batches for entry in batch.entries if entry.decision_id is not None]


@pytest.fixture
async def world(api: Api) -> tuple[Any, list[Any]]:
    """Ann with seven items of one campaign, the newest last."""
    await known(api, "ann", "bob")
    pool = api.resources.pool
    coffee = await push_world.offer(pool, "coffee")
    lunch = await push_world.campaign(pool, channels=["push", "inbox"])
    return lunch, [await put(api, lunch, 1, coffee, turn) for turn in range(7)]


async def test_pages_lose_and_double_nothing_while_items_are_added(api: Api, world: tuple[Any, list[Any]]) -> None:
    lunch, given = world
    coffee = await push_world.offer(api.resources.pool, "coffee")
    first = await pull(api, limit=3)
    assert [one["decision_id"] for one in first["data"]] == [str(one) for one in given[:-4:-1]]
    assert (first["has_more"], first["data"][0]["offer_id"], first["data"][0]["campaign_id"]) == (
        True,
        "coffee",
        "lunch",
    )
    assert first["data"][0]["creative"]["title"] == "Coffee"
    later = await put(api, lunch, 1, coffee, 9)
    second = await pull(api, limit=3, cursor=first["next_cursor"])
    assert second == await pull(api, limit=3, cursor=first["next_cursor"])
    last = await pull(api, limit=3, cursor=second["next_cursor"])
    assert (last["has_more"], last["next_cursor"]) == (False, None)
    seen = [one["decision_id"] for page in (first, second, last) for one in page["data"]]
    assert seen == [str(one) for one in reversed(given)]
    assert (await pull(api))["data"][0]["decision_id"] == str(later)
    assert (await pull(api, user="bob"))["data"] == (await pull(api, user="stranger"))["data"] == []


async def test_concurrent_draws_give_positions_in_the_order_of_commits(api: Api, world: tuple[Any, list[Any]]) -> None:
    lunch, _ = world
    coffee = await push_world.offer(api.resources.pool, "coffee")
    await asyncio.gather(*(put(api, lunch, 1, coffee, turn) for turn in range(20, 28)))
    rows = await api.resources.pool.fetch("select position, xmin::text::bigint as x from inbox_items order by position")
    assert [row["position"] for row in rows] == list(range(1, 16))


async def test_a_pull_is_shown_once_and_a_peek_is_not(api: Api, world: tuple[Any, list[Any]]) -> None:
    _, given = world
    await pull(api, peek="true")
    assert await log(api) == []
    await asyncio.gather(*(pull(api, limit=2) for _ in range(4)))
    entries = await log(api)
    assert {entry.decision_id for entry in entries} == set(given[-2:])
    assert [entry.type for entry in entries] == [EventType.SHOWN] * 2


async def test_feedback_reads_dismisses_and_vetoes(api: Api, world: tuple[Any, list[Any]]) -> None:
    _, given = world

    async def tell(decision: Any, kind: str) -> None:
        answer = await api.post(f"/v1/decisions/{decision}/feedback", json={"type": kind, "user_id": "ann"})
        assert answer.status_code == 200, answer.text

    await tell(given[0], "opened")
    await tell(given[1], "dismissed")
    found = {one["decision_id"]: one["is_read"] for one in (await pull(api))["data"]}
    assert found == {str(one): one == given[0] for one in given if one != given[1]}
    await tell(given[2], "thumbs_down")
    assert (await pull(api))["data"] == []


def event(decision: Any, kind: str, user: str = "ann", **more: Any) -> dict[str, Any]:
    told = {"event_id": f"{user} {decision} {kind}", "type": kind, "user_id": user, "decision_id": str(decision)}
    return told | {"occurred_at": NOW.isoformat()} | more


async def report(api: Api, *events: dict[str, Any]) -> Any:
    answer = await api.post("/v1/events", json={"sent_at": datetime.now(UTC).isoformat(), "batch": events})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_events_read_and_dismiss_as_feedback_does(api: Api, world: tuple[Any, list[Any]]) -> None:
    _, given = world
    told = [
        event(given[0], "opened"),
        event(given[1], "dismissed"),
        event(given[2], "redeemed"),
        event(given[3], "shown"),
    ]
    others = [event(given[4], "opened", slot=1), event(given[5], "dismissed", user="bob")]
    assert (await report(api, *told, *others))["accepted"] == 6
    found = {one["decision_id"]: one["is_read"] for one in (await pull(api))["data"]}
    assert found == {str(one): one in (given[0], given[2]) for one in given if one != given[1]}


async def test_an_item_is_the_first_slot_of_its_decision(api: Api, world: tuple[Any, list[Any]]) -> None:
    _, given = world
    bread = await push_world.offer(api.resources.pool, "bread")
    await api.resources.pool.execute("update decisions set offer_ids = offer_ids || $1::int", bread)
    for kind in ("opened", "dismissed"):
        wish = {"type": kind, "user_id": "ann", "slot": 1}
        assert (await api.post(f"/v1/decisions/{given[0]}/feedback", json=wish)).status_code == 200
    found = {one["decision_id"]: one["is_read"] for one in (await pull(api))["data"]}
    assert found == {str(one): False for one in given}


async def test_a_dismissal_counts_once_whichever_way_it_is_told(api: Api, world: tuple[Any, list[Any]]) -> None:
    """By feedback and by an event that names no more than the decision, in either order: one entry, and the same is learned of both people."""
    lunch, given = world
    coffee = await push_world.offer(api.resources.pool, "coffee")
    mine, his = given[0], await put(api, lunch, 2, coffee, 0)
    at = {"occurred_at": NOW.isoformat()}

    async def tell(decision: Any, user: str) -> None:
        wish = {"type": "dismissed", "user_id": user} | at
        assert (await api.post(f"/v1/decisions/{decision}/feedback", json=wish)).status_code == 200

    await tell(mine, "ann")
    assert (await report(api, event(mine, "dismissed")))["duplicates"] == 1
    assert (await report(api, event(his, "dismissed", "bob"), event(his, "dismissed", "bob", event_id="x")))[
        "accepted"
    ] == 1
    await tell(his, "bob")
    phi = bytes(4 * DIMS)  # what is known of a decision is what it was scored by
    await api.resources.pool.execute("update decisions set feature_set = $1, phi = $2", FEATURE_SET, phi)
    dismissed = [entry for entry in await log(api) if entry.type == EventType.DISMISSED]
    assert sorted(entry.user_id for entry in dismissed) == [1, 2]
    await Learner(api.resources.pool, CatalogueCache()).catch_up(NOW + HOUR)
    learned = await api.resources.pool.fetch("select tastes from user_state order by user_id")
    assert len(learned) == 2
    assert learned[0] == learned[1]
    assert learned[0]["tastes"]


async def test_pulling_and_answering_at_once_wait_for_nobody_in_a_circle(
    api: Api, world: tuple[Any, list[Any]]
) -> None:
    _, given = world
    opened = [
        api.post(f"/v1/decisions/{one}/feedback", json={"type": kind, "user_id": "ann"})
        for one in given
        for kind in ("opened", "dismissed")
    ]
    told = [report(api, *(event(one, "dismissed") for one in order)) for order in (given, given[::-1])]
    pulls = [pull(api, limit=n) for n in range(1, 8)]
    answers = await asyncio.gather(*opened, *told, *pulls)
    assert {one.status_code for one in answers[: len(opened)]} == {200}
    assert (await pull(api))["data"] == []


CLOSED: list[dict[str, Any]] = [
    {"paused": True},
    {"ends_at": (NOW - HOUR).isoformat()},
    {"channels": ["push"]},
    {"store_ids": ["elsewhere"]},
    {"redemptions_max": 1},
]
OPEN: dict[str, Any] = {"paused": False, "ends_at": None, "channels": ["push", "in_app"], "store_ids": []}


async def test_what_must_not_be_shown_any_more_is_gone_at_once(api: Api, world: tuple[Any, list[Any]]) -> None:
    for change in CLOSED:
        assert len((await pull(api))["data"]) == 7
        assert (await api.patch("/v1/offers/coffee", json=OPEN | change)).status_code == 200
        await api.resources.pool.execute("update allowances set redeemed = 1 where redemptions_max = 1")
        assert (await pull(api))["data"] == [], change
        assert (await api.patch("/v1/offers/coffee", json=OPEN)).status_code == 200


async def test_campaign_and_person_can_close_it(api: Api, world: tuple[Any, list[Any]]) -> None:
    for verb, count in (("pause", 0), ("resume", 7)):
        assert (await api.post(f"/v1/campaigns/lunch/{verb}")).status_code == 200
        assert len((await pull(api))["data"]) == count
    for muted_until, count in ((NOW + HOUR, 0), (None, 7)):
        wish = {"muted_until": muted_until and muted_until.isoformat()}
        assert (await api.patch("/v1/users/ann/preferences", json=wish)).status_code == 200
        assert len((await pull(api))["data"]) == count
    _, given = world
    await api.post(f"/v1/decisions/{given[0]}/feedback", json={"type": "opted_out", "user_id": "ann"})
    assert (await pull(api))["data"] == []
    assert (await api.patch("/v1/users/ann/consent", json={"push": True})).status_code == 200
    assert len((await pull(api))["data"]) == 7
    assert (await api.post("/v1/campaigns/lunch/end")).status_code == 200
    assert (await pull(api))["data"] == []


async def test_an_item_lives_until_it_expires_and_is_purged_later(api: Api, world: tuple[Any, list[Any]]) -> None:
    pool = api.resources.pool
    await pool.execute("update inbox_items set expires_at = $1 where position = 7", NOW - timedelta(seconds=1))
    assert len((await pull(api))["data"]) == 6
    async with pool.acquire() as connection:
        await inbox.purge(connection, NOW + inbox.KEPT_FOR - HOUR)
        assert await pool.fetchval("select count(*) from inbox_items") == 7
        await inbox.purge(connection, NOW + inbox.KEPT_FOR)
    assert await pool.fetchval("select count(*) from inbox_items") == 6


async def test_nothing_new_is_not_sent_again(api: Api, world: tuple[Any, list[Any]]) -> None:
    first = await api.get("/v1/inbox?user_id=ann")
    assert first.headers["cache-control"] == "private, no-cache"
    same = await api.get("/v1/inbox?user_id=ann", headers={"If-None-Match": first.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    await api.post(f"/v1/decisions/{world[1][0]}/feedback", json={"type": "opened", "user_id": "ann"})
    changed = await api.get("/v1/inbox?user_id=ann", headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200


async def test_what_is_wrong_is_named(api: Api) -> None:
    for query in (
        "",
        "user_id=%00",
        "user_id=a&cursor=0",
        "user_id=a&cursor=x",
        "user_id=a&limit=101",
        "user_id=a&x=1",
    ):
        answer = await api.get(f"/v1/inbox?{query}")
        assert answer.status_code == 400, query
        assert answer.json()["errors"][0]["pointer"].startswith("query:"), query
    sdk = await api.get("/v1/inbox?user_id=ann", headers=await api.key("pk"))
    assert (sdk.status_code, sdk.json()["code"]) == (403, "forbidden")  # without ann's token


async def test_when_two_turn_out_to_be_one_both_inboxes_are_one(api: Api, world: tuple[Any, list[Any]]) -> None:
    lunch, given = world
    await api.post("/v1/identify", json={"anonymous_id": "phone", "time_zone": "UTC"})
    coffee = await push_world.offer(api.resources.pool, "coffee")
    other = await put(api, lunch, 3, coffee, 40)
    await api.post("/v1/identify", json={"anonymous_id": "phone", "user_id": "ann"})
    found = [one["decision_id"] for one in (await pull(api))["data"]]
    assert found == [str(other), *(str(one) for one in reversed(given))]
    assert await api.resources.pool.fetchval("select count(*) from inboxes where user_id = 3") == 0
    assert await put(api, lunch, 1, coffee, 41)


class Refuses:
    """A channel that takes nothing."""

    name = account = "refuses"

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, messages: Sequence[Message], now: datetime) -> list[Outcome]:
        return [Rejected("X", "no", is_payload_fault=False) for _ in messages]


async def test_one_decision_serves_push_and_inbox(api: Api) -> None:
    """By the real draw: who cannot be pushed finds it in the inbox, and a promise outlives the push that failed."""
    pool = api.resources.pool
    await push_world.people(pool, 6)
    await pool.execute("update users set has_push_consent = false where user_id = 1")
    await pool.execute("delete from devices where user_id = 2")
    await pool.execute("update users set opted_out_at = now() where user_id = 3")
    await pool.execute("insert into identities select 0, external_id, user_id, now() from users")
    await push_world.offer(pool, "coffee", redemptions_max=10, discount_type="amount", discount_minor=50)
    both = await push_world.campaign(
        pool, "both", channels=["push", "inbox"], holdout_share=0, ends_at=NOW.replace(tzinfo=None) + LIFE
    )
    alone = await push_world.campaign(
        pool, "alone", channels=["inbox"], holdout_share=0, ends_at=NOW.replace(tzinfo=None) + LIFE
    )
    await Composer(pool).publish(NOW)
    snapshot = SnapshotCache(pool)
    await snapshot.refresh()
    await push_world.planned(pool, both, range(1, 7), send_at=NOW)
    await push_world.planned(pool, alone, range(1, 6), send_at=NOW)
    drawer = DueDrawer(pool, PipelineDecider(CatalogueCache(), snapshot, PolicyCache(pool, RESOLUTE)), SEED)
    assert await drawer.draw_due(standing(NOW)) == 11
    assert await states(pool) == {State.READY: 5, State.ELSEWHERE: 4, State.NO_SEND: 2}

    await Dispatcher(pool, Refuses(), EventLogJournal()).dispatch(standing(NOW))
    assert (await states(pool))[State.FAILED] == 4
    for n in (1, 2, 4, 5, 6):
        found = (await pull(api, user=f"user {n}"))["data"]
        assert {one["campaign_id"] for one in found} == ({"both"} if n == 6 else {"both", "alone"}), n
        assert len({one["reservation"]["reservation_id"] for one in found}) == 1
    assert (await pull(api, user="user 3"))["data"] == []
    assert await pool.fetchval("select count(*) from reservations where state = 0") == 5
    learner = Learner(pool, CatalogueCache())
    await learner.catch_up(NOW + HOUR)
    assert await pool.fetchval("select count(*) from exposures where not is_push") == 9
