"""Webhooks from the draw to a receiver: signed, once for each decision, tried again without harm, never to a closed place."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from push import agenda, stop
from push.campaign import campaigns
from push.channel import Accepted, Message, NotProcessed, Outcome, Rejected, RetryAfter, Unknown
from push.channels import deliveries, delivery_claim
from push.channels.delivery_dispatcher import DeliveryDispatcher, Lane
from push.channels.webhooks import channel as webhooks
from push.channels.webhooks import endpoints
from push.channels.webhooks.channel import WebhookChannel
from push.clock import standing
from push.contact import contacts
from push.loopback_certificate import write_certificate
from push.sending.dispatcher import Dispatcher
from push.sending.governor import Ungoverned
from schema.campaign import StoredCampaign
from schema.contact_rules import Cap, ContactRules, QuietHours
from schema.decision import Channel
from schema.ids import uuid7
from schema.sending import SendingSwitch
from service.planning.exposure_journal import EventLogJournal
from service.store.pool import open_pool, prepare
from tests.integration import push_world
from tests.integration.push_world import HOUR, NOW, FirstOffer
from tests.integration.webhook_receiver import Receiver, receiving

SECRET = endpoints.new_secret()
OLD = endpoints.new_secret()
SECOND = timedelta(seconds=1)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 4) as pool:
        yield pool


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


class Local:
    """A webhook channel that may reach this machine, with its dispatcher."""

    def __init__(self, pool: asyncpg.Pool, ca_file: Path | None = None) -> None:
        self.pool = pool
        self.channel = WebhookChannel(pool, may_be_local=True, ca_file=ca_file)
        self.dispatcher = DeliveryDispatcher(
            pool, Lane(Channel.WEBHOOK, self.channel, webhooks.message_of, Ungoverned()), EventLogJournal()
        )

    async def send(self, now: Any = NOW) -> int:
        return await self.dispatcher.dispatch(standing(now))

    async def outcome(self, url: str) -> Outcome:
        """Of one message to a new endpoint there."""
        await self.pool.execute("delete from webhooks")
        await endpoints.make(self.pool, "one", url, SECRET, NOW, "test")
        (found,) = await self.channel.send([message("one")], NOW)
        return found


def message(address: str) -> Message:
    return Message(
        outbox_id="o",
        address=address,
        address_kind="webhook",
        title="Coffee",
        body="Today",
        data={"decision_id": str(uuid7(NOW, bytes(10)))},
        collapse_id="o",
        expires_at=NOW + HOUR,
    )


@pytest.fixture
async def local(pool: asyncpg.Pool) -> AsyncIterator[Local]:
    made = Local(pool)
    yield made
    await made.channel.close()


async def drawn(pool: asyncpg.Pool, count: int, name: str = "lunch", **campaign: Any) -> StoredCampaign:
    """People 1..count for whom a campaign has drawn coffee."""
    if not await pool.fetchval("select count(*) from users"):
        await push_world.people(pool, count)
    coffee = await push_world.offer(pool)
    stored = await push_world.campaign(pool, name, **({"channels": ["webhook"]} | campaign))
    await push_world.ready(pool, stored, range(1, count + 1), FirstOffer(coffee))
    return stored


async def states(pool: asyncpg.Pool) -> dict[str, int]:
    rows = await pool.fetch(
        "select state::text || coalesce(' ' || outcome, '') as s, count(*)::int from deliveries group by 1"
    )
    return dict(rows)


async def test_a_decision_reaches_every_endpoint_signed(pool: asyncpg.Pool, receiver: Receiver, local: Local) -> None:
    for name in ("crm", "till"):
        await endpoints.make(pool, name, f"{receiver.url}/{name}", SECRET, NOW, "test")
    stored = await drawn(pool, 2)
    assert await local.send() == 4
    assert await local.send() == 0
    assert sorted(one.path for one in receiver.came) == ["/crm", "/crm", "/till", "/till"]
    for came in receiver.came:
        told = Webhook(SECRET).verify(came.body, came.headers)
        assert told["type"] == "offer.decided"
        assert set(told["data"]) == {
            "campaign_id", "user_id", "decision_id", "title", "body", "image_url", "expires_at",
        }  # fmt: skip
    ids = {str(row[0]) for row in await pool.fetch("select outbox_id from outbox")}
    assert {came.headers["webhook-id"] for came in receiver.came} == ids
    assert await states(pool) == {"3 HTTP 204": 4}
    async with pool.acquire() as connection:
        assert await deliveries.outcomes(connection, stored.id) == {"webhook": {"accepted": 4}}
        await deliveries.fold(connection, NOW + deliveries.KEPT_FOR + SECOND)
        assert await pool.fetchval("select count(*) from deliveries") == 0
        assert await deliveries.outcomes(connection, stored.id) == {"webhook": {"accepted": 4}}
    assert await pool.fetchval("select count(*) from event_log") == 2


async def test_a_campaign_may_name_its_endpoints(pool: asyncpg.Pool, receiver: Receiver, local: Local) -> None:
    for name in ("crm", "till"):
        await endpoints.make(pool, name, f"{receiver.url}/{name}", SECRET, NOW, "test")
    await drawn(pool, 1, webhooks=["till"])
    assert await local.send() == 1
    assert [one.path for one in receiver.came] == ["/till"]


async def test_what_was_perhaps_taken_is_sent_again_as_the_same(
    pool: asyncpg.Pool, receiver: Receiver, local: Local
) -> None:
    await endpoints.make(pool, "crm", f"{receiver.url}/cut", SECRET, NOW, "test")
    await drawn(pool, 1)
    assert await local.send() == 1
    assert (await states(pool)).keys() == {"1 RemoteProtocolError"}
    assert await local.send() == 0
    await pool.execute("update webhooks set url = $1", f"{receiver.url}/ok")
    assert await local.send(NOW + timedelta(minutes=2)) == 1
    assert len({(came.headers["webhook-id"], came.body) for came in receiver.came}) == 1
    assert await states(pool) == {"3 HTTP 204": 1}


async def test_a_row_left_behind_by_a_dead_dispatcher_is_sent_again(
    pool: asyncpg.Pool, receiver: Receiver, local: Local
) -> None:
    await endpoints.make(pool, "crm", receiver.url, SECRET, NOW, "test")
    await drawn(pool, 1)
    await pool.execute("update deliveries set state = 2, lease_until = $1, fence = 1", NOW)
    async with pool.acquire() as connection:
        await deliveries.sweep(connection, NOW, NOW)
        assert (await states(pool)).keys() == {"2"}
        await deliveries.sweep(connection, NOW, NOW + SECOND)
    assert await local.send() == 1
    assert await states(pool) == {"3 HTTP 204": 1}


async def test_what_answers_mean(local: Local, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "DEADLINE_S", 0.5)
    url = receiver.url
    assert await local.outcome(f"{url}/big") == Accepted("HTTP 200")
    assert await local.outcome(f"{url}/later") == RetryAfter(120.0, "message", "HTTP 429", is_over_quota=True)
    assert await local.outcome(f"{url}/status/503") == RetryAfter(5.0, "message", "HTTP 503")
    assert await local.outcome(f"{url}/status/400") == Rejected("HTTP_400", "HTTP 400", is_payload_fault=False)
    assert await local.outcome(f"{url}/status/410") == Rejected("GONE", "HTTP 410", is_payload_fault=False)
    assert await local.outcome(f"{url}/moved") == Rejected("HTTP_307", "HTTP 307", is_payload_fault=False)
    assert not any(came.path == "/elsewhere" for came in receiver.came)
    assert await local.outcome(f"{url}/hang") == Unknown("timeout")
    assert await local.outcome("http://127.0.0.1:1/") == NotProcessed("ConnectError")
    assert isinstance(await local.outcome("http://no.such.host.invalid/"), NotProcessed)
    assert await local.outcome("http://10.0.0.1/") == NotProcessed(
        "The URL names an address that is not of the public internet."
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, 5),
        ("7", 7),
        ("0", 5),
        ("99999", 3600),
        ("9" * 99, 5),
        ("-3", 5),
        ("soon", 5),
        ("Mon, 02 Mar 2020 00:00:00 GMT", 5),
    ],
)
async def test_retry_after(text: str | None, seconds: float) -> None:
    assert webhooks.outcome_of(503, text) == RetryAfter(seconds, "message", "HTTP 503")


async def test_a_certificate_must_be_of_the_name_though_the_address_was_checked(
    pool: asyncpg.Pool, tmp_path: Path
) -> None:
    files = write_certificate(tmp_path)  # for 127.0.0.1
    local = Local(pool, files[0])
    async with receiving(files) as receiver:
        assert await local.outcome(receiver.url) == Accepted("HTTP 204")
        other = receiver.url.replace("127.0.0.1", "localhost")
        assert await local.outcome(other) == NotProcessed("ConnectError")
        assert len(receiver.came) == 1
        await local.channel.close()


async def test_a_closed_place_is_refused_by_the_channel_of_an_installation(
    pool: asyncpg.Pool, receiver: Receiver
) -> None:
    await endpoints.make(pool, "one", receiver.url, SECRET, NOW, "test")
    channel = WebhookChannel(pool)
    for url in (receiver.url, receiver.url.replace("http:", "https:"), "https://localhost/"):
        await pool.execute("update webhooks set url = $1", url)
        (outcome,) = await channel.send([message("one")], NOW)
        assert isinstance(outcome, NotProcessed), url
    assert receiver.came == []


async def test_an_endpoint_that_fails_rests_and_the_others_do_not(
    pool: asyncpg.Pool, receiver: Receiver, local: Local
) -> None:
    await endpoints.make(pool, "bad", f"{receiver.url}/status/503", SECRET, NOW, "test")
    await endpoints.make(pool, "good", f"{receiver.url}/good", SECRET, NOW, "test")
    await drawn(pool, 3)
    assert await local.send() == 6
    found = await endpoints.read(pool, "bad")
    assert found is not None
    assert (found.failures, found.rests_until) == (1, NOW + 5 * SECOND)
    for failures in (2, 3, 4):
        await pool.execute("update deliveries set send_at = $1 where state = 1", NOW)
        await pool.execute("update webhooks set rests_until = $1", NOW)
        await local.send()
        found = await endpoints.read(pool, "bad")
        assert found is not None
        assert found.failures == failures
    assert found.rests_until == NOW + 20 * SECOND
    await pool.execute("update deliveries set send_at = $1 where state = 1", NOW)
    assert await local.send(NOW + 19 * SECOND) == 0
    await pool.execute("update webhooks set url = $1 where webhook_id = 'bad'", f"{receiver.url}/good")
    assert await local.send(NOW + 20 * SECOND) == 3
    assert await pool.fetchval("select max(failures) from webhooks") == 0
    assert await states(pool) == {"3 HTTP 204": 6}


async def test_an_endpoint_that_is_gone_is_paused(pool: asyncpg.Pool, receiver: Receiver, local: Local) -> None:
    await endpoints.make(pool, "crm", f"{receiver.url}/status/410", SECRET, NOW, "test")
    await drawn(pool, 1)
    await local.send()
    assert await states(pool) == {"4 GONE: HTTP 410": 1}
    found = await endpoints.read(pool, "crm")
    assert found is not None
    assert found.is_paused


async def test_for_a_day_both_secrets_sign(pool: asyncpg.Pool, receiver: Receiver, local: Local) -> None:
    await endpoints.make(pool, "one", receiver.url, OLD, NOW, "test")
    await endpoints.rotate(pool, "one", SECRET, NOW)
    await local.channel.send([message("one")], NOW)
    came = receiver.came[-1]
    for secret in (OLD, SECRET):
        Webhook(secret).verify(came.body, came.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(endpoints.new_secret()).verify(came.body, came.headers)
    assert "whsec" not in repr((await endpoints.signed(pool, ["one"], NOW))["one"])
    assert (await endpoints.signed(pool, ["one"], NOW + endpoints.OLD_SECRET_FOR))["one"].old_secret is None


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ("update users set vetoed_offer_ids = array(select offer_id from offers)", "6 vetoed"),
        ("update users set opted_out_at = now()", "6 opted_out"),
        ("update users set muted_until = 'infinity'", "6 muted"),
        ("update campaigns set status = 'ended'", "6 campaign_ended"),
        ("update offer_versions set body = body || '{\"paused\": true}'", "6 offer_gone"),
        ("update deliveries set expires_at = send_at", "5 expired"),
    ],
)
async def test_what_must_not_leave_does_not(
    pool: asyncpg.Pool, receiver: Receiver, local: Local, change: str, outcome: str
) -> None:
    await endpoints.make(pool, "crm", receiver.url, SECRET, NOW, "test")
    await drawn(pool, 1)
    await pool.execute(change)
    assert await local.send() == 1
    assert (await states(pool), receiver.came) == ({outcome: 1}, [])


class Takes:
    """A push channel that takes everything, or nothing."""

    name = account = "takes"

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, messages: Any, now: Any) -> list[Outcome]:
        return [self.outcome for _ in messages]


async def counted(pool: asyncpg.Pool) -> int:
    return int(await pool.fetchval("select coalesce(sum(jsonb_array_length(sent)), 0) from contacts"))


@pytest.mark.parametrize("is_push_first", [True, False])
async def test_one_decision_is_one_contact(
    pool: asyncpg.Pool, receiver: Receiver, local: Local, *, is_push_first: bool
) -> None:
    """Of a cap of one the push and the webhook of one decision take one place, in either order; another campaign finds none left."""
    await endpoints.make(pool, "crm", receiver.url, SECRET, NOW, "test")
    await drawn(pool, 2, channels=["push", "webhook"])
    await drawn(pool, 2, "dinner")
    await push_world.rules(pool, ContactRules(quiet_hours=[], caps=[Cap(pushes_max=1, per="local_day")], min_gap_s=0))
    await pool.execute(
        "update deliveries set send_at = $1 where campaign_id in (select campaign_id from campaigns where external_id = 'dinner')",
        NOW + SECOND,
    )
    push = Dispatcher(pool, Takes(Accepted("m")), EventLogJournal())
    for step in (
        (push.dispatch, local.dispatcher.dispatch) if is_push_first else (local.dispatcher.dispatch, push.dispatch)
    ):
        assert await step(standing(NOW)) == 2
    assert await counted(pool) == 2
    assert await push_world.states(pool) == {3: 2, 9: 2}
    assert await local.send(NOW + SECOND) == 2
    assert await states(pool) == {"3 HTTP 204": 2, "6 cap_reached": 2}


async def test_a_push_that_failed_stays_counted_when_the_webhook_was_taken(
    pool: asyncpg.Pool, receiver: Receiver, local: Local
) -> None:
    await endpoints.make(pool, "crm", receiver.url, SECRET, NOW, "test")
    await drawn(pool, 1, channels=["push", "webhook"])
    await local.send()
    await Dispatcher(pool, Takes(Rejected("X", "no", is_payload_fault=False)), EventLogJournal()).dispatch(
        standing(NOW)
    )
    assert await counted(pool) == 1


async def test_what_nobody_took_is_not_counted(pool: asyncpg.Pool, receiver: Receiver, local: Local) -> None:
    await endpoints.make(pool, "crm", f"{receiver.url}/status/400", SECRET, NOW, "test")
    await drawn(pool, 1)
    await local.send()
    assert (await states(pool), await counted(pool)) == ({"4 HTTP_400: HTTP 400": 1}, 0)


async def test_what_was_perhaps_taken_stays_counted(pool: asyncpg.Pool, receiver: Receiver, local: Local) -> None:
    await endpoints.make(pool, "crm", f"{receiver.url}/cut", SECRET, NOW, "test")
    await drawn(pool, 1)
    await local.send()
    await pool.execute("update webhooks set url = $1, rests_until = null", f"{receiver.url}/status/400")
    await local.send(NOW + timedelta(minutes=2))
    assert (await states(pool), await counted(pool)) == ({"4 HTTP_400: HTTP 400": 1}, 1)


async def test_quiet_hours_keep_a_webhook_waiting(pool: asyncpg.Pool, receiver: Receiver, local: Local) -> None:
    await endpoints.make(pool, "crm", receiver.url, SECRET, NOW, "test")
    await drawn(pool, 1, spread_s=0)
    await push_world.rules(
        pool, ContactRules(quiet_hours=[QuietHours(begins="08:00", ends="10:00")], caps=[], min_gap_s=0)
    )
    await local.send()
    assert (await states(pool), receiver.came) == ({"1 quiet_hours": 1}, [])
    assert await pool.fetchval("select send_at from deliveries") == NOW + HOUR
    assert await local.send(NOW + HOUR) == 1
    assert json.loads(receiver.came[0].body)["data"]["user_id"] == "user 1"


async def test_the_stop_of_all_sending_stops_webhooks(pool: asyncpg.Pool, receiver: Receiver, local: Local) -> None:
    await endpoints.make(pool, "crm", receiver.url, SECRET, NOW, "test")
    await drawn(pool, 1)
    for is_stopped, count in ((True, 0), (False, 1)):
        async with pool.acquire() as connection, connection.transaction():
            given = SendingSwitch(is_stopped=is_stopped, reason="a test")
            await stop.switch(connection, given, NOW, "test")
        assert await local.send() == len(receiver.came) == count


async def test_a_paused_campaign_is_not_read_and_an_expired_one_settles(pool: asyncpg.Pool, local: Local) -> None:
    await endpoints.make(pool, "crm", "http://127.0.0.1:1/", SECRET, NOW, "test")
    stored = await drawn(pool, 1)
    async with pool.acquire() as connection:
        assert await campaigns.set_status(connection, "lunch", "paused", NOW) is not None
        assert await local.send() == 0
        await deliveries.expire(connection, NOW + 6 * HOUR)
        assert await states(pool) == {"5 expired": 1}
        assert await deliveries.outcomes(connection, stored.id) == {"webhook": {"expired": 1}}


_HISTORY = """
    insert into deliveries (user_id, delivery_id, outbox_id, campaign_id, channel, endpoint, decision_id, offer_ids, message, state, send_at,
                            expires_at, settled_at)
    select n, gen_random_uuid(), gen_random_uuid(), $1, 2, 'crm', gen_random_uuid(), '{1}', '{}', case when n <= 40 then 1 else 3 end, $2, $2,
           case when n > 40 then $2::timestamptz end
      from generate_series(1, 30000) n
"""
QUERIES: list[tuple[str, tuple[Any, ...]]] = [
    (delivery_claim._TAKE, (NOW, 2, 200)),
    (delivery_claim._MARK, (NOW, NOW, [(0, 1)], [2], [None], [None])),
    (deliveries._SETTLE, (NOW, [1], [uuid7(NOW, bytes(10))], [1], [3], [""], [None])),
    (deliveries._SWEEP, (NOW, NOW)),
    (deliveries._EXPIRE, (NOW, 500)),
    (deliveries._FOLD, (NOW, 500)),
    (contacts._GIVE_BACK, ([1, 2], [None, None])),
    (agenda._LOOK, (NOW,)),
]


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_no_query_reads_what_was_settled(connection: asyncpg.Connection, mode: str) -> None:
    await prepare(connection)
    await push_world.people(connection, 30_000)
    stored = await push_world.campaign(connection, channels=["webhook"])
    await endpoints.make(connection, "crm", "https://example.com/", SECRET, NOW, "test")
    await connection.execute(_HISTORY, stored.id, NOW)
    await connection.execute("insert into contacts (user_id) select n from generate_series(1, 30000) n")
    await connection.execute("analyze")
    await connection.execute(f"set plan_cache_mode to {mode}")
    for query, arguments in QUERIES:
        plan = "\n".join(row[0] for row in await connection.fetch("explain " + query, *arguments))
        for table in ("deliveries", "users", "contacts"):
            assert f"Seq Scan on {table}" not in plan, f"{query}\n{plan}"
