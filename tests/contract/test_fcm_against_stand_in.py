"""The real FCM channel against the real stand-in over HTTP: every documented answer, and what the phones received."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from push.channel import Accepted, Message, NotProcessed, Outcome, Rejected, RetryAfter, Unknown, Unregistered
from push.fcm import FcmChannel
from tests.contract.stand_in_server import StandInServer


@pytest.fixture(scope="module")
def shared_server() -> Iterator[StandInServer]:
    with StandInServer() as server:
        yield server


@pytest.fixture
def server(shared_server: StandInServer) -> StandInServer:
    shared_server.app.posts = 0
    return shared_server


@pytest.fixture
async def channel(server: StandInServer) -> AsyncIterator[FcmChannel]:
    channel = FcmChannel(server.account, base_url=server.url)
    await channel.open()
    yield channel
    await channel.close()


def message(server: StandInServer, address: str, number: int = 0, **changes: Any) -> Message:
    fields: dict[str, Any] = {
        "outbox_id": str(UUID(int=number)),
        "address": address,
        "address_kind": "token",
        "title": "Flat white",
        "body": "Yours until 18:00",
        "data": {"offer_id": "7", "deep_link": "app://offers/7"},
        "collapse_id": f"o{number}",
        "expires_at": server.now + timedelta(hours=4),
    }
    return Message(**(fields | changes))


async def test_the_stand_in_is_reached_past_a_proxy_of_the_surroundings(
    server: StandInServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    channel = FcmChannel(server.account, base_url=server.url)
    await channel.open()
    try:
        assert isinstance(await send_one(channel, server, "ok-proxy"), Accepted)
    finally:
        await channel.close()


async def send_one(channel: FcmChannel, server: StandInServer, address: str, **changes: Any) -> Outcome:
    return (await channel.send([message(server, address, **changes)], server.now))[0]


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("gone", Unregistered()),
        ("bad", Rejected("INVALID_ARGUMENT", "The registration token is not a valid FCM registration token", False)),
        ("sender", Rejected("SENDER_ID_MISMATCH", "SenderId mismatch", False)),
        ("apns", Rejected("THIRD_PARTY_AUTH_ERROR", "Auth error from APNS or Web Push Service", False)),
        ("quota", RetryAfter(2, "project", "RESOURCE_EXHAUSTED: Quota exceeded.")),
        ("int", RetryAfter(10, "message", "INTERNAL: Internal error encountered.")),
        ("down", Unknown("UNAVAILABLE: The service is currently unavailable.")),
    ],
)
async def test_every_documented_error_has_its_outcome(
    server: StandInServer, channel: FcmChannel, prefix: str, expected: Outcome
) -> None:
    granted = server.app.issuer.granted
    assert await send_one(channel, server, f"{prefix}-1") == expected
    assert server.app.posts == 1
    assert server.app.issuer.granted == granted + 1
    assert server.app.inbox.device(f"{prefix}-1") == []


async def test_a_thousand_messages_arrive_once_each_in_order(server: StandInServer, channel: FcmChannel) -> None:
    before = server.get("/inbox?after=999999999")["next"], server.app.inbox.count
    messages = [message(server, f"ok-thousand-{i}", i) for i in range(1000)]
    outcomes = await channel.send(messages, server.now)
    entries = server.get(f"/inbox?after={before[1]}&limit=2000")["messages"]
    names = {entry["address"]: entry["name"] for entry in entries}
    assert [outcome.message_name for outcome in outcomes if isinstance(outcome, Accepted)] == [
        names[f"ok-thousand-{i}"] for i in range(1000)
    ]
    assert len({entry["tag"] for entry in entries}) == server.app.posts == 1000


async def test_a_mixed_batch_keeps_the_order(server: StandInServer, channel: FcmChannel) -> None:
    addresses = ["ok-a", "gone-b", "ok-c", "sender-d", "ok-e"]
    outcomes = await channel.send([message(server, address) for address in addresses], server.now)
    assert [type(outcome) for outcome in outcomes] == [Accepted, Unregistered, Accepted, Rejected, Accepted]


async def test_a_refused_token_is_renewed_once_for_the_whole_batch(server: StandInServer) -> None:
    channel = FcmChannel(server.account, base_url=server.url)
    await channel.open()
    await send_one(channel, server, "ok-warm")
    channel._token._tried_at -= 60  # as if the token were a minute old
    server.app.issuer.revoke_all()
    granted, posts = server.app.issuer.granted, server.app.posts
    outcomes = await channel.send([message(server, f"ok-renewed-{i}") for i in range(50)], server.now)
    assert {type(outcome) for outcome in outcomes} == {Accepted}
    assert server.app.issuer.granted == granted + 1
    assert posts + 50 < server.app.posts <= posts + 100
    await channel.close()


async def test_a_token_refused_for_good_pauses_the_project(server: StandInServer, channel: FcmChannel) -> None:
    await send_one(channel, server, "ok-warm")
    server.app.issuer.revoke_all()
    granted = server.app.issuer.granted
    outcomes = await channel.send([message(server, f"ok-never-{i}") for i in range(50)], server.now)
    assert {(type(outcome), outcome.scope) for outcome in outcomes if isinstance(outcome, RetryAfter)} == {
        (RetryAfter, "project")
    }
    assert server.app.issuer.granted == granted
    assert server.app.inbox.device("ok-never-0") == []


async def test_an_account_that_is_not_ours_is_not_processed(server: StandInServer) -> None:
    with StandInServer() as other:
        stranger = other.account | {"token_uri": server.account["token_uri"]}
        channel = FcmChannel(stranger, base_url=server.url)
        await channel.open()
        outcome = await send_one(channel, server, "ok-1")
        await channel.close()
    assert isinstance(outcome, NotProcessed)
    assert "invalid_grant" in outcome.reason
    assert server.app.posts == 0


async def test_a_hanging_answer_is_unknown_after_one_post(server: StandInServer) -> None:
    channel = FcmChannel(server.account, base_url=server.url, deadline_s=0.5)
    await channel.open()
    assert isinstance(await send_one(channel, server, "hang-1"), Unknown)
    await channel.close()
    await asyncio.sleep(0.1)
    assert server.app.posts == 1
    assert len(server.app.inbox.device("hang-1")) == 1


async def test_behind_hanging_answers_only_what_was_never_sent_is_not_processed(server: StandInServer) -> None:
    channel = FcmChannel(server.account, base_url=server.url, deadline_s=0.8)
    await channel.open()
    await send_one(channel, server, "ok-warm")
    messages = [message(server, f"hang-behind-{i}") for i in range(300)]
    outcomes = await channel.send(messages, server.now)
    await channel.close()
    received = [len(server.app.inbox.device(sent.address)) for sent in messages]
    assert {type(outcome) for outcome in outcomes} == {Unknown, NotProcessed}
    assert sum(received) == server.app.posts - 1 >= 64
    assert all(count == 0 or isinstance(outcome, Unknown) for count, outcome in zip(received, outcomes, strict=True))
    assert max(received) == 1


async def test_a_slow_answer_is_accepted_within_the_deadline(server: StandInServer, channel: FcmChannel) -> None:
    assert isinstance(await send_one(channel, server, "slow-1"), Accepted)


async def test_a_server_that_is_down_is_not_processed() -> None:
    with StandInServer() as server:
        channel = FcmChannel(server.account, base_url=server.url)
        await channel.open()
        warm = await send_one(channel, server, "ok-1")
        server.stop()
        await asyncio.sleep(1.1)  # libcurl looks whether its kept connections still live, but once a second only
        outcomes = await channel.send([message(server, f"ok-{i}") for i in range(20)], server.now)
        fresh = FcmChannel(server.account, base_url=server.url)
        await fresh.open()
        unauthenticated = await send_one(fresh, server, "ok-2")
        await fresh.close()
        await channel.close()
    assert isinstance(warm, Accepted)
    assert {type(outcome) for outcome in outcomes} == {NotProcessed}
    assert isinstance(unauthenticated, NotProcessed)


async def test_what_cannot_be_sent_never_leaves(server: StandInServer, channel: FcmChannel) -> None:
    cases: list[tuple[dict[str, Any], type]] = [
        ({"expires_at": server.now}, NotProcessed),
        ({"body": "x" * 4096}, Rejected),
        ({"data": {"google.x": "1"}}, Rejected),
        ({"data": {"from": "1"}}, Rejected),
        ({"collapse_id": "c" * 65}, Rejected),
        ({"analytics_label": "no spaces"}, Rejected),
        ({"title": "\ud800"}, Rejected),
    ]
    outcomes = await channel.send([message(server, "ok-1", **changes) for changes, _ in cases], server.now)
    assert [type(outcome) for outcome in outcomes] == [expected for _, expected in cases]
    refused = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    assert {(outcome.code, outcome.is_payload_fault) for outcome in refused} == {("INVALID_MESSAGE", False)}
    no_address = await send_one(channel, server, "")
    assert isinstance(no_address, Rejected)
    assert not no_address.is_payload_fault
    assert server.app.posts == 0


async def test_the_largest_payload_we_let_through_is_taken(server: StandInServer, channel: FcmChannel) -> None:
    sizes = range(3800, 4100, 10)
    outcomes = [await send_one(channel, server, "ok-size", body="é" * (size // 2)) for size in sizes]
    assert {type(outcome) for outcome in outcomes} == {Accepted, Rejected}
    assert all("payload of" in outcome.detail for outcome in outcomes if isinstance(outcome, Rejected))


async def test_the_phone_gets_what_was_sent(server: StandInServer, channel: FcmChannel) -> None:
    await send_one(
        channel, server, "ok-phone", number=1, address_kind="fid", analytics_label="c7-B", image_url="https://x/y.jpg"
    )
    await send_one(channel, server, "ok-phone", number=1, address_kind="fid", title="Again")
    await send_one(channel, server, "ok-phone", number=2, address_kind="fid", is_visible=False)
    first, second, silent = server.get("/inbox/ok-phone")["messages"]
    assert [entry["is_replaced"] for entry in (first, second, silent)] == [True, False, False]
    assert first["entry"]["received_at"] == "2026-03-01T12:00:00Z"
    assert first["entry"]["message"] == {
        "fid": "ok-phone",
        "notification": {"title": "Flat white", "body": "Yours until 18:00", "image": "https://x/y.jpg"},
        "data": {"offer_id": "7", "deep_link": "app://offers/7"},
        "android": {"ttl": "14400s", "priority": "high", "notification": {"tag": "o1", "channel_id": "offers"}},
        "apns": {
            "headers": {
                "apns-expiration": "1772380800",
                "apns-priority": "10",
                "apns-push-type": "alert",
                "apns-collapse-id": "o1",
            },
            "payload": {"aps": {"sound": "default", "mutable-content": 1}},
        },
        "webpush": {"headers": {"TTL": "14400"}},
        "fcm_options": {"analytics_label": "c7-B"},
    }
    assert second["entry"]["message"]["notification"]["title"] == "Again"
    assert not silent["entry"]["is_visible"]
    assert silent["entry"]["message"]["apns"]["payload"] == {"aps": {"content-available": 1}}
    assert silent["entry"]["message"]["apns"]["headers"]["apns-push-type"] == "background"


def post(server: StandInServer, path: str, body: bytes, token: str) -> tuple[int, Any]:
    request = urllib.request.Request(server.url + path, body, {"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"token": "ok-1", "fid": "ok-1"}, "message"),
        ({"data": {"a": "b"}}, "message"),
        ({"token": "ok-1", "data": {"a": 1}}, "message"),
        ({"token": "ok-1", "colour": "red"}, "message"),
        ({"token": "ok-1", "data": {"gcm.x": "1"}}, "message.data[gcm.x]"),
        ({"token": "ok-1", "android": {"ttl": "4h"}}, "message.android.ttl"),
    ],
)
def test_the_stand_in_refuses_shapes_as_fcm_does(server: StandInServer, sent: dict[str, Any], field: str) -> None:
    path = f"/v1/projects/{server.account['project_id']}/messages:send"
    status, answer = post(server, path, json.dumps({"message": sent}).encode(), server.app.issuer._issue())
    assert status == answer["error"]["code"] == 400
    assert answer["error"]["details"][0]["fieldViolations"][0]["field"] == field


def test_the_stand_in_checks_payload_caller_and_project(server: StandInServer) -> None:
    path = f"/v1/projects/{server.account['project_id']}/messages:send"
    token = server.app.issuer._issue()
    fits = json.dumps({"message": {"token": "ok-fits", "data": {"k": "v" * 4095}}, "validate_only": True}).encode()
    big = json.dumps({"message": {"token": "ok-big", "data": {"k": "v" * 4096}}}).encode()
    assert post(server, path, fits, token)[0] == 200
    assert server.app.inbox.device("ok-fits") == []
    status, answer = post(server, path, big, token)
    assert (status, answer["error"]["details"][0]["errorCode"]) == (400, "INVALID_ARGUMENT")
    assert post(server, path, fits, "made-up")[0] == 401
    assert post(server, "/v1/projects/other/messages:send", fits, token)[0] == 403
    assert post(server, "/elsewhere", b"", token)[0] == 404
    assert post(server, "/token", b"grant_type=x", token)[1]["error"] == "invalid_grant"
