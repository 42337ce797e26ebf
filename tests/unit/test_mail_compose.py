"""A digest as an e-mail: both parts tell the same, the headers let one unsubscribe, and no text can add a header."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest

from push.channel import Card, Message
from push.channels.mail.compose import compose, is_address, masked
from push.channels.mail.unsubscribe import CHARACTERS, token_of, user_of

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
SENDER = "Shop <offers@shop.example>"
LINK = "https://api.example.com/v1/unsubscribe/x"
CARDS = (
    Card("Coffee & <cake>", "Today\nonly", "https://img.example/c.png", "https://shop.example/coffee?a=1&b=2"),
    Card("Brot", "Frisch — süß", None, "shop://bread"),
)


def message(**more: Any) -> Message:
    given: dict[str, Any] = {
        "outbox_id": "019a",
        "address": "ann@example.com",
        "address_kind": "email",
        "title": "Kaffee für dich",
        "body": "Today",
        "data": {},
        "collapse_id": "019a",
        "expires_at": NOW,
        "cards": CARDS,
        "unsubscribe_url": LINK,
    }
    return Message(**(given | more))


def read(**more: Any) -> EmailMessage:
    mail = message_from_bytes(compose(message(**more), SENDER, NOW), policy=policy.SMTP)
    assert isinstance(mail, EmailMessage)
    return mail


def test_headers() -> None:
    mail = read()
    assert {name: mail[name] for name in ("From", "To", "Subject", "Message-ID", "List-Unsubscribe")} == {
        "From": SENDER,
        "To": "ann@example.com",
        "Subject": "Kaffee für dich",
        "Message-ID": "<019a@shop.example>",
        "List-Unsubscribe": f"<{LINK}>",
    }
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["Date"].datetime == NOW


def test_the_link_is_on_one_line_and_no_line_is_too_long() -> None:
    lines = compose(message(unsubscribe_url=LINK + "x" * 100, title="ä" * 120), SENDER, NOW).split(b"\r\n")
    assert f"List-Unsubscribe: <{LINK}{'x' * 100}>".encode() in lines
    assert max(len(line) for line in lines) < 998


def test_both_parts_tell_of_all_offers_and_of_the_link() -> None:
    mail = read()
    text, markup = (mail.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert markup is not None
    for part in (text.get_content(), markup.get_content()):
        for told in ("Brot", "Frisch — süß", LINK, "https://shop.example/coffee"):
            assert told in part
        assert "shop://bread" not in part
    assert "Coffee &amp; &lt;cake&gt;" in markup.get_content()
    assert "a=1&amp;b=2" in markup.get_content()
    assert markup.get_content().count("<img") == 1  # the offer's own picture: nothing counts who reads it


@pytest.mark.parametrize("title", ["a\r\nBcc: x@example.com", "a\nb", "a\x00b\x85c\u2028d", "\r\n\r\n<script>"])
def test_no_text_adds_a_header(title: str) -> None:
    mail = read(title=title, cards=(Card(title, title),))
    assert mail["Bcc"] is None
    assert set(mail.keys()) == set(read().keys())
    assert "\n" not in mail["Subject"]
    assert "<script>" not in mail.get_body(("html",)).get_content()  # type: ignore[union-attr] # it is there


def test_a_script_is_no_link() -> None:
    mail = read(cards=(Card("a", "b", "javascript:x", "javascript:alert(1)"),))
    assert b"javascript" not in mail.as_bytes()


@pytest.mark.parametrize(
    "change", [{"address": "ann@example.com\r\nBcc: x@e.com"}, {"unsubscribe_url": None}, {"unsubscribe_url": "x"}]
)
def test_what_cannot_leave_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        compose(message(**change), SENDER, NOW)


@pytest.mark.parametrize("address", ["ann@example.com", "a.b+c@sub.example.co", "x_1@e-x.com"])
def test_addresses(address: str) -> None:
    assert is_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "", "ann", "@example.com", "ann@", "ann@localhost", "a b@example.com", "ann@example.com ", "ann@example.com\n", "<ann@example.com>",
        '"a b"@example.com', "ann(x)@example.com", "ann@exa_mple.com", "ann@-x.com", ".ann@example.com", "a..b@example.com", "änn@example.com",
        "x" * 65 + "@example.com", "ann@" + "x." * 130 + "com", "ann@example.com,bob@example.com",
    ],
)  # fmt: skip
def test_what_is_no_address(address: str) -> None:
    assert not is_address(address)


def test_an_address_is_shown_masked() -> None:
    assert masked("ann.smith@example.com") == "a***@example.com"


def test_a_link_speaks_for_one_person_and_cannot_be_made() -> None:
    key = bytes(range(32))
    token = token_of(key, 7)
    assert (len(token), user_of(key, token)) == (CHARACTERS, 7)
    assert user_of(bytes(32), token) is None
    for place in range(CHARACTERS):
        other = "A" if token[place] != "A" else "B"
        assert user_of(key, token[:place] + other + token[place + 1 :]) is None
    for text in ("", token[:-1], token + "A", "ä" * CHARACTERS, " " * CHARACTERS, token_of(key, 8)[:12] + token[12:]):
        assert user_of(key, text) is None
