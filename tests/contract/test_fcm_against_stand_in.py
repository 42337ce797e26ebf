"""The real FCM channel against the real stand-in: every documented answer, and what the phones received.

Over TLS and HTTP/2 as at Google, by a server of ours that can do everything and by Debian's nginx; and over plain HTTP/1.1 as the demo runs.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from push.channel import Accepted, Message, NotProcessed, Outcome, Rejected, RetryAfter, Unknown, Unregistered
from push.fcm.channel import FcmChannel
from tests.contract.stand_in_server import StandInServer
from tests.parts import needs_nginx

FRONTS = ["http1", "h2", pytest.param("nginx", marks=needs_nginx)]


@pytest.fixture(scope="module", params=FRONTS)
def shared_server(request: pytest.FixtureRequest) -> Iterator[StandInServer]:
    with StandInServer(front=request.param) as server:
        yield server


@pytest.fixture
def server(shared_server: StandInServer) -> StandInServer:
    shared_server.app.posts = 0
    shared_server.put_faults()
    return shared_server


def fcm(server: StandInServer, **changes: Any) -> FcmChannel:
    return FcmChannel(server.account, base_url=server.url, ca_file=server.ca_file, **changes)


@pytest.fixture
async def channel(server: StandInServer) -> AsyncIterator[FcmChannel]:
    channel = fcm(server)
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
    if server.front != "http1":
        pytest.skip("what is encrypted may have to go by a proxy")
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    channel = fcm(server)
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
        (
            "apns",
            RetryAfter(900, "platform", "THIRD_PARTY_AUTH_ERROR: Auth error from APNS or Web Push Service"),
        ),
        ("quota", RetryAfter(2, "project", "RESOURCE_EXHAUSTED: Quota exceeded.", is_over_quota=True)),
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


OUTCOMES: list[tuple[str, type[Outcome]]] = [
    ("UNREGISTERED", Unregistered),
    ("INVALID_ARGUMENT", Rejected),
    ("SENDER_ID_MISMATCH", Rejected),
    ("THIRD_PARTY_AUTH_ERROR", RetryAfter),
    ("401", RetryAfter),
    ("429", RetryAfter),
    ("500", RetryAfter),
    ("503", Unknown),
    ("hang", Unknown),
    ("reset", Unknown),
    ("GOAWAY", NotProcessed),
    ("slow", Accepted),
]


@pytest.mark.parametrize(("mode", "expected"), OUTCOMES)
async def test_every_fault_of_a_token_or_of_the_project_has_its_outcome_after_one_post(
    server: StandInServer, mode: str, expected: type[Outcome]
) -> None:
    if mode == "GOAWAY" and server.front != "h2":
        expected = Unknown  # the connection breaks off instead
    channel = fcm(server, deadline_s=0.8)
    await channel.open()
    try:
        server.put_faults({"mode": mode, "token": f"ok-token-{mode}", "delay_s": 0.1})
        assert isinstance(await send_one(channel, server, f"ok-token-{mode}"), expected)
        assert isinstance(await send_one(channel, server, f"ok-token-{mode}-2"), Accepted)
        server.put_faults({"mode": mode, "times": 1, "delay_s": 0.1})
        assert isinstance(await send_one(channel, server, f"ok-project-{mode}"), expected)
        assert isinstance(await send_one(channel, server, f"ok-project-{mode}"), Accepted)
    finally:
        await channel.close()
    assert server.app.posts == 4
    was_received = mode in {"hang", "reset", "slow"}
    assert len(server.app.inbox.device(f"ok-token-{mode}")) == was_received
    assert [fault["met"] for fault in server.get("/faults")["faults"]] == [1]


async def test_retry_after_is_what_the_server_says(server: StandInServer, channel: FcmChannel) -> None:
    server.put_faults({"mode": "429", "retry_after_s": 37})
    outcome = await send_one(channel, server, "ok-1")
    assert outcome == RetryAfter(37, "project", "RESOURCE_EXHAUSTED: Quota exceeded.", is_over_quota=True)


async def test_what_came_before_a_goaway_is_answered_and_what_came_after_was_never_processed(
    server: StandInServer,
) -> None:
    if server.front != "h2":
        pytest.skip("no other server says goodbye when it is told to")
    channel = fcm(server, in_flight_max=100)
    await channel.open()
    await send_one(channel, server, "ok-warm")
    server.put_faults({"mode": "GOAWAY", "token": "ok-goaway-20"}, {"mode": "slow", "delay_s": 0.2})
    outcomes = await channel.send([message(server, f"ok-goaway-{i}", i) for i in range(40)], server.now)
    await channel.close()
    received = [len(server.app.inbox.device(f"ok-goaway-{i}")) for i in range(40)]
    assert {type(outcome) for outcome in outcomes} == {Accepted, NotProcessed}
    assert received == [isinstance(outcome, Accepted) for outcome in outcomes]
    assert not received[20]
    assert sum(received) >= 20


@needs_nginx
async def test_a_server_that_says_goodbye_again_and_again_loses_and_doubles_nothing() -> None:
    with StandInServer(front="nginx", requests_a_connection=37) as server:
        channel = fcm(server)
        await channel.open()
        waiting = [message(server, f"ok-{i}", i) for i in range(300)]
        for _ in range(20):
            outcomes = list(zip(waiting, await channel.send(waiting, server.now), strict=True))
            assert {type(outcome) for _, outcome in outcomes} <= {Accepted, NotProcessed}
            waiting = [sent for sent, outcome in outcomes if isinstance(outcome, NotProcessed)]
            if not waiting:
                break
        await channel.close()
        assert waiting == []
        assert [len(server.app.inbox.device(f"ok-{i}")) for i in range(300)] == [1] * 300


async def test_what_phones_show_is_told_with_its_copies(server: StandInServer, channel: FcmChannel) -> None:
    for number in (1, 1, 2):
        await send_one(channel, server, "ok-banner", number=number)
    await send_one(channel, server, "ok-banner", number=3, is_visible=False)
    shown = server.get("/banners/ok-banner")["banners"]
    assert [(banner["entry"]["tag"], banner["copies"]) for banner in shown] == [("o1", 2), ("o2", 1)]
    after, found = server.app.inbox.count - 4, []
    while (part := server.get(f"/banners?after={after}&limit=3"))["next"] > after:
        after, found = part["next"], found + part["banners"]
    assert found == shown


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
    channel = fcm(server)
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
        channel = FcmChannel(stranger, base_url=server.url, ca_file=server.ca_file)
        await channel.open()
        outcome = await send_one(channel, server, "ok-1")
        await channel.close()
    assert isinstance(outcome, NotProcessed)
    assert "invalid_grant" in outcome.reason
    assert server.app.posts == 0


async def test_a_hanging_answer_is_unknown_after_one_post(server: StandInServer) -> None:
    channel = fcm(server, deadline_s=0.5)
    await channel.open()
    assert isinstance(await send_one(channel, server, "hang-1"), Unknown)
    await channel.close()
    await asyncio.sleep(0.1)
    assert server.app.posts == 1
    assert len(server.app.inbox.device("hang-1")) == 1


async def test_behind_hanging_answers_only_what_was_never_sent_is_not_processed(server: StandInServer) -> None:
    if server.front != "http1":
        pytest.skip("so many hang at once over HTTP/2 that nothing has to wait")
    channel = fcm(server, deadline_s=0.8)
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


async def test_a_server_that_is_down_is_not_processed(shared_server: StandInServer) -> None:
    with StandInServer(front=shared_server.front) as server:
        channel = fcm(server)
        await channel.open()
        warm = await send_one(channel, server, "ok-1")
        server.stop()
        await asyncio.sleep(1.1)  # libcurl looks whether its kept connections still live, but once a second only
        outcomes = await channel.send([message(server, f"ok-{i}") for i in range(20)], server.now)
        fresh = fcm(server)
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
            "payload": {"aps": {"sound": "default", "mutable-content": 1, "interruption-level": "active"}},
        },
        "webpush": {"headers": {"TTL": "14400"}},
        "fcm_options": {"analytics_label": "c7-B"},
    }
    assert second["entry"]["message"]["notification"]["title"] == "Again"
    assert not silent["entry"]["is_visible"]
    assert silent["entry"]["message"]["apns"]["payload"] == {"aps": {"content-available": 1}}
    assert silent["entry"]["message"]["apns"]["headers"]["apns-push-type"] == "background"
