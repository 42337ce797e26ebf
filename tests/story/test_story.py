"""One life of a person, told over HTTP to four API workers in virtual time: what they do counts exactly, and no means never."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
import httpx
import jwt
import numpy as np
import pytest

from bandits.event_time import decay_weight
from bandits.sums import Sums
from push.outbox import State
from tests.counting import Tally
from tests.story.crash_audit import assert_same, epoch_of, phi_of, sums_of
from tests.story.world import Serve, serving

WORKERS: Final = 4
MONDAY: Final = datetime(2026, 3, 2, 6, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
OFFERS: Final = ("milk", "bread", "tea", "rice", "soap", "figs")
SIGNING: Final = "a secret of the app's own server, long enough"
ANNA, BEN = "anna", "ben"


class Shop:
    """Everybody who speaks with the server: operator, till, and the app on each phone."""

    def __init__(self, serve: Serve, http: httpx.AsyncClient, connection: Any) -> None:
        self._serve = serve
        self._http = http
        self.connection = connection
        self.now = MONDAY
        self._publishable = ""

    async def till(self, method: str, path: str, body: Any = None) -> Any:
        """With the secret key."""
        answer = await self._http.request(method, path, json=body, headers=self._serve.headers)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def phone(self, user_id: str, method: str, path: str, body: Any) -> Any:
        """With the publishable key and the person's token; a worker may know of a new signing key two seconds late."""
        claims = {"sub": user_id, "exp": datetime.now(UTC) + HOUR}
        token = jwt.encode(claims, SIGNING, algorithm="HS256", headers={"kid": "app"})
        headers = {"authorization": f"Bearer {self._publishable}", "x-user-token": token}
        for _ in range(30):
            answer = await self._http.request(method, path, json=body, headers=headers)
            if answer.status_code != 401:
                break
            await asyncio.sleep(0.1)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def open(self) -> None:
        await self.pass_time(timedelta())
        made = await self.till("POST", "/v1/keys", {"kind": "pk", "scopes": []})
        self._publishable = made["secret"]
        signer = {"kid": "app", "alg": "HS256", "secret": SIGNING}
        await self.till("PUT", "/v1/identity", {"mode": "required", "keys": [signer]})
        await self.till("PUT", "/v1/contact-rules", {"quiet_hours": [], "caps": [], "min_gap_s": 0})
        for name in OFFERS:
            offer = {"offer_id": name, "creative": {"title": name.title()}, "tags": [name], "code": "SHOP"}
            await self.till("PUT", f"/v1/offers/{name}", offer)

    async def pass_time(self, by: timedelta) -> None:
        """Moves the clock, and waits until all that is due by then is done."""
        self.now += by
        await self.till("POST", "/v1/clock", {"now": self.now.isoformat(), "wait_s": 60})

    async def campaign(self, name: str, starts_at: datetime, offers: Sequence[str]) -> None:
        """One day, nobody held out, every hour of the day the same."""
        body = {
            "campaign_id": name,
            "starts_at": starts_at.replace(tzinfo=None).isoformat(),
            "ends_at": (starts_at + DAY).replace(tzinfo=None).isoformat(),
            "offers": list(offers),
            "holdout_share": 0.0,
            "control_share": 0.0,
        }
        await self.till("POST", "/v1/campaigns", body)

    async def report(self, name: str, kind: str, user_id: str, at: datetime, **more: Any) -> None:
        event = {"event_id": name, "type": kind, "user_id": user_id, "occurred_at": at.isoformat(), **more}
        answer = await self.till("POST", "/v1/events", {"sent_at": self.now.isoformat(), "batch": [event]})
        assert answer["rejected"] == 0, answer

    async def feedback(self, user_id: str, decision_id: str, kind: str) -> str:
        """The watermark that the answer carries."""
        answer = await self.phone(user_id, "POST", f"/v1/decisions/{decision_id}/feedback", {"type": kind})
        assert answer["applied"]
        return str(answer["feedback_applied_through"])

    async def inbox(self, user_id: str) -> list[dict[str, Any]]:
        """What this person's phone has received."""
        answer = await self._http.get(f"{self._serve.stand_in_url}/inbox/ok-{user_id}")
        return [one["entry"]["message"]["data"] for one in answer.json()["messages"]]

    async def sums(self) -> Sums:
        return await sums_of(self.connection)

    async def plus(self, before: Sums, told: Tally) -> Sums:
        """What was counted before and what was told since, in the epoch in force."""
        wanted = told.sums(await epoch_of(self.connection))
        wanted.add(before)
        return wanted

    async def logged(self, decision_id: str) -> Any:
        return await self.connection.fetchrow("select * from decisions where decision_id = $1", UUID(decision_id))

    async def metrics(self, name: str) -> dict[str, float]:
        """A sample by process, of those in which it is not zero."""
        text = (await self._http.get("/metrics")).text
        lines = [line for line in text.splitlines() if line.startswith(f"{name}{{")]
        found = {line.partition('worker="')[2].partition('"')[0]: float(line.split()[-1]) for line in lines}
        return {worker: value for worker, value in found.items() if value}


@asynccontextmanager
async def a_shop(serve: Serve) -> AsyncIterator[Shop]:
    async with AsyncExitStack() as stack:
        limits = httpx.Limits(max_keepalive_connections=0)  # every call may meet another worker
        http = httpx.AsyncClient(base_url=serve.url, trust_env=False, timeout=70, limits=limits)
        await stack.enter_async_context(http)
        connection = await asyncpg.connect(serve.dsn())
        stack.push_async_callback(connection.close)
        yield Shop(serve, http, connection)


@pytest.mark.slow
@pytest.mark.timeout(150)
async def test_a_person_is_learned_from_exactly_and_a_veto_is_for_ever(data_dir: Path, pg_bin: Path | None) -> None:
    options = ("--virtual-clock", "--workers", str(WORKERS), "--seed", "story")
    with serving(data_dir, *options, pg_bin=pg_bin) as serve:
        async with a_shop(serve) as shop:
            await shop.open()
            await people_come(shop)
            pushed = await a_push_is_accepted_opened_and_redeemed(shop)
            await decisions_change_with_the_snapshot(shop)
            await thumbs_down_stops_a_planned_push(shop, pushed)
            await no_worker_ever_offers_it_again(shop, pushed)


async def people_come(shop: Shop) -> None:
    """Two new people with phones; Anna buys something every day, and a crowd a little of everything."""
    for user_id in (ANNA, BEN):
        device = {"user_id": user_id, "token": f"ok-{user_id}", "platform": "android", "time_zone": "UTC"}
        await shop.phone(user_id, "PUT", f"/v1/devices/{user_id}", device)
    for day in range(1, 15):
        properties = {"tags": [OFFERS[day % 3]]}
        await shop.report(f"basket-{day}", "purchase", ANNA, shop.now - day * DAY, properties=properties)
    for n in range(3 * len(OFFERS)):
        properties = {"tags": [OFFERS[n % len(OFFERS)]]}
        await shop.report(f"crowd-{n}", "purchase", f"crowd-{n}", shop.now - HOUR, properties=properties)
    await shop.pass_time(timedelta(minutes=1))
    decided = await shop.phone(ANNA, "POST", "/v1/decisions", {"user_id": ANNA})
    logged = await shop.logged(decided["decision_id"])
    assert logged["tastes"] != b""
    assert (logged["action"] == 1) == (decided["action"] == "offer")


async def a_push_is_accepted_opened_and_redeemed(shop: Shop) -> dict[str, Any]:
    await shop.campaign("monday", shop.now + HOUR, OFFERS)
    before = await shop.sums()
    while not (received := await shop.inbox(ANNA)):
        assert shop.now < MONDAY + 2 * DAY, "no push came"
        await shop.pass_time(HOUR)
    (pushed,) = received
    row = await shop.connection.fetchrow(
        """select o.state, o.offer_id, o.settled_at, d.phi, d.offer_ids, d.send_probability,
                  coalesce(d.personal_offsets[1], 0) as personal_offset
             from outbox o join decisions d using (user_id, decision_id) where decision_id = $1""",
        UUID(pushed["decision_id"]),
    )
    assert row["state"] == State.ACCEPTED
    assert row["offer_ids"] == [row["offer_id"]]
    phi, exposed_s = phi_of(row["phi"])[0], row["settled_at"].timestamp()
    others = await exposures_of_others(shop, pushed["decision_id"])

    # Accepted, but not yet counted: the learner is given time.
    await shop.pass_time(timedelta(minutes=1))
    exposed = await shop.sums()
    told = Tally()
    told.add_exposure(phi, exposed_s, offset=row["personal_offset"])
    for phi_of_other, at_s, offset in others:
        told.add_exposure(phi_of_other, at_s, offset=offset)
    assert_same(exposed, await shop.plus(before, told))

    await shop.feedback(ANNA, pushed["decision_id"], "opened")
    await shop.feedback(ANNA, pushed["decision_id"], "opened")
    await shop.pass_time(timedelta(minutes=1))
    opened = await shop.sums()
    age_s = (shop.now - timedelta(minutes=1)).timestamp() - exposed_s
    told.add_reward(0, phi, exposed_s, age_s)
    assert_same(opened, await shop.plus(before, told))
    np.testing.assert_allclose(
        opened.response[0] - exposed.response[0], decay_weight(exposed_s) * phi.astype(float), rtol=1e-9
    )

    # The till knows the offer, not the decision; told twice it counts once.
    for name in ("till-1", "till-2"):
        await shop.report(name, "redeemed", ANNA, shop.now, offer_id=pushed["offer_id"])
    age_s = shop.now.timestamp() - exposed_s
    await shop.pass_time(timedelta(minutes=1))
    redeemed = await shop.sums()
    told.add_reward(1, phi, exposed_s, age_s)
    assert_same(redeemed, await shop.plus(before, told))
    np.testing.assert_allclose(
        redeemed.response[1] - opened.response[1], decay_weight(exposed_s) * phi.astype(float), rtol=1e-9
    )
    return pushed


async def exposures_of_others(shop: Shop, decision_id: str) -> list[tuple[np.ndarray, float, float]]:
    """What else was accepted so far, as (phi, instant, personal offset)."""
    rows = await shop.connection.fetch(
        """select d.phi, o.settled_at, coalesce(d.personal_offsets[1], 0) as personal_offset
             from outbox o join decisions d using (user_id, decision_id)
            where o.state = $1 and decision_id <> $2""",
        State.ACCEPTED,
        UUID(decision_id),
    )
    return [(phi_of(row["phi"])[0], row["settled_at"].timestamp(), row["personal_offset"]) for row in rows]


async def decisions_change_with_the_snapshot(shop: Shop) -> None:
    """Strangers have the same features, so that nothing but the snapshot can make what is predicted for them differ."""
    first, pmf, version = await seen_by_a_stranger(shop, "stranger-1")
    assert await seen_by_a_stranger(shop, "stranger-2") == (first, pmf, version)
    midnight = shop.now.replace(hour=0, minute=0) + DAY
    await shop.pass_time(midnight - shop.now)
    newest = await shop.connection.fetchval("select max(version) from snapshots")
    assert newest > version
    deciders = WORKERS + 1  # the background worker draws pushes
    while list((await shop.metrics("welltimed_snapshot_version")).values()) != [float(newest)] * deciders:
        await asyncio.sleep(0.1)
    later, _, later_version = await seen_by_a_stranger(shop, "stranger-3")
    assert later_version == newest
    assert later != first


async def seen_by_a_stranger(shop: Shop, user_id: str) -> tuple[dict[int, list[float]], bytes, int]:
    """What was predicted of every offer, the pmf of the first slot, and the snapshot."""
    decided = await shop.till("POST", "/v1/decisions", {"user_id": user_id, "slots": len(OFFERS)})
    logged = await shop.logged(decided["decision_id"])
    predictions = np.frombuffer(logged["predictions"], "<f4").reshape(len(OFFERS), -1).tolist()
    predicted = dict(zip(logged["offer_ids"], predictions, strict=True))
    return predicted, bytes(logged["pmf_sha256"]), decided["snapshot_version"]


async def thumbs_down_stops_a_planned_push(shop: Shop, pushed: dict[str, Any]) -> None:
    """A second campaign has that one offer alone; Anna's push is planned already when she says no."""
    was_received = len(await shop.inbox(ANNA)), len(await shop.inbox(BEN))
    await shop.campaign("again", shop.now + HOUR, [pushed["offer_id"]])
    await shop.pass_time(timedelta(minutes=1))
    assert await states_of_campaign(shop, "again") == {ANNA: State.PLANNED, BEN: State.PLANNED}
    await shop.feedback(ANNA, pushed["decision_id"], "thumbs_down")
    for _ in range(28):
        await shop.pass_time(HOUR)
    assert len(await shop.inbox(ANNA)) == was_received[0]
    assert len(await shop.inbox(BEN)) == was_received[1] + 1
    assert await states_of_campaign(shop, "again") == {ANNA: State.NO_SEND, BEN: State.ACCEPTED}


async def states_of_campaign(shop: Shop, name: str) -> dict[str, State]:
    rows = await shop.connection.fetch(
        """select u.external_id, o.state from outbox o join users u using (user_id) join campaigns c using (campaign_id)
            where c.external_id = $1""",
        name,
    )
    return {row[0]: State(row[1]) for row in rows}


async def no_worker_ever_offers_it_again(shop: Shop, pushed: dict[str, Any]) -> None:
    """Fifty decisions with a slot for every offer there is."""
    watermark = await shop.feedback(ANNA, pushed["decision_id"], "thumbs_up")
    before = await decisions_by_worker(shop)
    body = {"user_id": ANNA, "slots": len(OFFERS)}
    answers = [
        answer
        for _ in range(5)
        for answer in await asyncio.gather(*(shop.till("POST", "/v1/decisions", body) for _ in range(10)))
    ]
    wanted = sorted(set(OFFERS) - {pushed["offer_id"]})
    assert all(sorted(offer["offer_id"] for offer in answer["offers"]) == wanted for answer in answers)
    assert all(answer["feedback_applied_through"] >= watermark for answer in answers)
    after = await decisions_by_worker(shop)
    asked = [worker for worker in after if after[worker] > before.get(worker, 0.0)]
    assert len(asked) == WORKERS, "some worker was never asked"


async def decisions_by_worker(shop: Shop) -> dict[str, float]:
    return await shop.metrics("welltimed_decision_seconds_count")
