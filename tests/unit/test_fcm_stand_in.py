"""The stand-in's memory: the feed goes on without holes, old messages make room, banners replace each other."""

import json
from datetime import UTC, datetime

import jwt
import pytest

from push.stand_in.account import Issuer, make_service_account
from push.stand_in.inbox import Inbox

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def put(inbox: Inbox, address: str, tag: str = "", *, is_visible: bool = True) -> None:
    inbox.put(address, NOON, "name", tag, is_visible=is_visible, message=b"{}")


def test_the_feed_is_walked_by_its_own_next() -> None:
    inbox = Inbox(feed_max=100, device_max=5)
    for i in range(25):
        put(inbox, f"d{i}")
    after, walked = 0, []
    while (feed := inbox.feed(after, 10)).messages:
        walked += [entry.sequence for entry in feed.messages]
        after = feed.next
    assert walked == list(range(1, 26))
    assert inbox.feed(25, 10).next == 25
    assert inbox.feed(99, 10).messages == []


def test_old_messages_make_room_everywhere() -> None:
    inbox = Inbox(feed_max=10, device_max=4)
    for i in range(95):
        put(inbox, f"d{i % 7}")
    feed = inbox.feed(0, 100)
    assert [entry.sequence for entry in feed.messages] == list(range(86, 96))
    assert (feed.oldest, feed.next) == (86, 95)
    kept = [device.entry.sequence for i in range(7) for device in inbox.device(f"d{i}")]
    assert sorted(kept) == list(range(86, 96))


def test_a_device_that_is_overwritten_is_forgotten() -> None:
    inbox = Inbox(feed_max=3, device_max=2)
    for address in ("a", "a", "a", "b", "c", "d"):
        put(inbox, address)
    assert inbox.device("a") == []
    assert list(inbox._devices) == ["b", "c", "d"]


def test_a_later_banner_with_the_same_tag_replaces() -> None:
    inbox = Inbox(feed_max=10, device_max=10)
    for tag, is_visible in (("x", True), ("y", True), ("x", False), ("", True), ("x", True), ("", True)):
        put(inbox, "d", tag, is_visible=is_visible)
    assert [device.is_replaced for device in inbox.device("d")] == [True, False, False, False, False, False]


@pytest.mark.parametrize("change", [{}, {"iss": "someone"}, {"aud": "elsewhere"}, {"exp": 1}, {"scope": ""}])
def test_only_the_account_itself_is_granted_a_token(change: dict[str, object]) -> None:
    account = make_service_account("http://127.0.0.1:1")
    issuer = Issuer(account)
    claims = {
        "iss": account["client_email"],
        "aud": "https://oauth2.googleapis.com/token",
        "iat": 1,
        "exp": 4_000_000_000,
        "scope": "messaging",
    }
    assertion = jwt.encode(claims | change, account["private_key"], "RS256")
    form = f"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}".encode()
    token = issuer.grant(form)
    assert (token is not None) == (change == {})
    assert issuer.accepts(f"Bearer {token}") == (change == {})
    assert not issuer.accepts(f"Basic {token}")


def test_an_account_is_json_as_firebase_writes_it() -> None:
    account = make_service_account("http://127.0.0.1:1")
    assert json.loads(json.dumps(account))["token_uri"] == "http://127.0.0.1:1/token"
    assert account["private_key"] != make_service_account("http://127.0.0.1:1")["private_key"]
