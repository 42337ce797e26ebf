"""The rules of an offer, field by field and across fields."""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import msgspec
import pytest

from push.channel import Message
from push.drawing.draft import Carried, draft_of, excess_bytes
from push.drawing.feedback_token import CHARACTERS
from push.fcm.limits import payload_fault
from schema.campaign import BUTTONS
from schema.offer import Creative, Offer
from service.ingest.offer_rules import normalised, problems

PLAIN = Offer(offer_id="a", creative=Creative(title="Coffee"), tags=["coffee"])
DAY = datetime(2026, 1, 1, tzinfo=UTC)


def found(**changes: Any) -> list[tuple[str, str]]:
    offer = normalised(msgspec.structs.replace(PLAIN, **changes))
    return [(error.pointer, error.code) for error in problems(offer)]


def creative(**changes: Any) -> Creative:
    return msgspec.structs.replace(PLAIN.creative, **changes)


def test_a_plain_offer_is_right() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"offer_id": "a\n"}, "/offer_id", "invalid"),
        ({"offer_id": ".."}, "/offer_id", "invalid"),
        ({"offer_id": "imports"}, "/offer_id", "invalid"),
        ({"currency": "USD\n"}, "/currency", "invalid"),
        ({"creative": creative(title="  ")}, "/creative/title", "required"),
        ({"creative": creative(title="a\x00b")}, "/creative/title", "control_character"),
        ({"creative": creative(body="a\x00b")}, "/creative/body", "control_character"),
        ({"creative": creative(body="x" * 401)}, "/creative/body", "too_long"),
        ({"creative": creative(image_url="https:///x")}, "/creative/image_url", "scheme_not_allowed"),
        ({"creative": creative(image_url="https://[::1")}, "/creative/image_url", "scheme_not_allowed"),
        ({"creative": creative(image_url="https://a.example/x y")}, "/creative/image_url", "invalid"),
        ({"tags": [" ", ""]}, "/tags/0", "invalid"),
        ({"tags": []}, "/tags", "required"),
        ({"tags": ["a;b"]}, "/tags/0", "invalid"),
        ({"tags": ["a", "b\x00"]}, "/tags/1", "invalid"),
        ({"tags": ["İ" * 40]}, "/tags/0", "invalid"),  # in lower case it has 80 characters
        ({"store_ids": ["1", "x" * 65]}, "/store_ids/1", "invalid"),
        ({"channels": []}, "/channels", "required"),
        ({"min_age": 121}, "/min_age", "out_of_range"),
        ({"price_minor": 10**12 + 1}, "/price_minor", "out_of_range"),
        ({"margin_minor": -(10**12) - 1}, "/margin_minor", "out_of_range"),
        ({"starts_at": DAY.replace(tzinfo=None)}, "/starts_at", "offset_missing"),
        ({"starts_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))}, "/starts_at", "out_of_range"),
        ({"starts_at": DAY, "ends_at": DAY}, "/ends_at", "not_after_start"),
        ({"discount_percent": 5.0}, "/discount_percent", "discount_mismatch"),
        ({"discount_minor": 5, "discount_type": "gift"}, "/discount_minor", "discount_mismatch"),
        ({"discount_type": "percent"}, "/discount_percent", "discount_mismatch"),
        ({"discount_type": "amount"}, "/discount_minor", "discount_mismatch"),
        (
            {"discount_percent": 5.0, "discount_minor": 5, "discount_type": "percent"},
            "/discount_minor",
            "discount_mismatch",
        ),
        ({"store_ids": ["1", "2"], "exclude_store_ids": ["2"]}, "/exclude_store_ids", "contradiction"),
        ({"redemptions_max": 0}, "/redemptions_max", "out_of_range"),
        ({"budget_minor": 10**12 + 1, "discount_type": "amount", "discount_minor": 1}, "/budget_minor", "out_of_range"),
        ({"budget_minor": 100}, "/budget_minor", "cost_not_known"),
        (
            {"budget_minor": 100, "discount_type": "percent", "discount_percent": 9.0},
            "/budget_minor",
            "cost_not_known",
        ),
        ({"budget_minor": 99, "discount_type": "amount", "discount_minor": 100}, "/budget_minor", "too_small"),
    ],
)
def test_each_rule_names_its_field(changes: dict[str, Any], pointer: str, code: str) -> None:
    assert found(**changes) == [(pointer, code)]


def test_what_a_redemption_takes_of_a_budget_is_rounded_up() -> None:
    percent = {"discount_type": "percent", "discount_percent": 12.5, "price_minor": 150}
    assert msgspec.structs.replace(PLAIN, **percent).cost_minor() == 19
    assert msgspec.structs.replace(PLAIN, **percent | {"discount_percent": 20.0}).cost_minor() == 30
    assert msgspec.structs.replace(PLAIN, discount_type="amount", discount_minor=7).cost_minor() == 7
    assert found(**percent, budget_minor=19, redemptions_max=1) == []


def address(length: int, host: str = "https://a.example/") -> str:
    return host + "x" * (length - len(host))


@pytest.mark.parametrize(
    ("image", "link", "pointer"),
    [
        (2048, 2000, "/creative/image_url"),
        (2000, 2048, "/creative/deep_link"),
    ],
)
def test_an_offer_too_long_for_a_push_names_the_longer_address(image: int, link: int, pointer: str) -> None:
    long = creative(image_url=address(image), deep_link=address(link))
    assert found(creative=long) == [(pointer, "too_long")]
    assert found(creative=long, channels=["in_app"]) == []
    assert found(creative=long, channels=[]) == [("/channels", "required")]


def test_what_is_told_of_an_offer_too_long_for_a_push_is_enough_to_make_it_fit() -> None:
    long = creative(body='Hot\n"tea" é', image_url=address(2048), deep_link=address(2048, "shop://"))
    (error,) = problems(msgspec.structs.replace(PLAIN, creative=long))
    told = re.search(r"leave out (\d+) bytes", error.detail)
    assert told is not None
    for spared, count in ((int(told[1]), 0), (int(told[1]) - 1, 1)):
        less = msgspec.structs.replace(long, image_url=address(2048 - spared))
        assert len(found(creative=less)) == count


def test_an_offer_that_just_fits_makes_a_message_that_is_encoded() -> None:
    texts = creative(title="é" * 120, body="\U0001f600" * 400, image_url=address(1000), deep_link=address(900))
    offer = msgspec.structs.replace(PLAIN, creative=texts)
    while not excess_bytes(offer, offer.creative):
        offer = msgspec.structs.replace(
            offer, creative=msgspec.structs.replace(offer.creative, deep_link=f"{offer.creative.deep_link}x")
        )
    fits = msgspec.structs.replace(
        offer, creative=msgspec.structs.replace(offer.creative, deep_link=(offer.creative.deep_link or "")[:-1])
    )
    for one, is_sent in ((fits, True), (offer, False)):
        assert (problems(one) == []) == is_sent
        draft = draft_of(one, 7, Carried(UUID(int=2**128 - 1), "x" * CHARACTERS, UUID(int=2**128 - 1)))
        message = Message(
            outbox_id="o",
            address="a",
            address_kind="token",
            title=draft.title,
            body=draft.body,
            image_url=draft.image_url,
            data=draft.data,
            collapse_id=str(UUID(int=0)),
            expires_at=DAY,
            buttons=BUTTONS,
        )
        assert (payload_fault(message) is None) == is_sent


@pytest.mark.parametrize("link", ["https://shop.example/deal", "myapp://deal/1", "com.shop-app+x://open"])
def test_deep_links_into_the_web_and_into_apps(link: str) -> None:
    assert found(creative=creative(deep_link=link)) == []


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "JavaScript://%0aalert(1)",
        "data://text/html,x",
        "http://shop.example",
        "file:///etc/passwd",
        "intent://x#Intent;end",
        "shop.example/deal",
        "https://",
        "my app://x",
        "app://",
        "java\tscript://x",
    ],
)
def test_other_deep_links_are_refused(link: str) -> None:
    assert ("/creative/deep_link", "scheme_not_allowed") in found(creative=creative(deep_link=link))


def test_all_errors_are_told_at_once_and_rules_across_bad_fields_are_passed_over() -> None:
    bad = found(starts_at=datetime(2026, 1, 2), ends_at=DAY, offer_id="ä", min_age=-1)
    assert bad == [("/offer_id", "invalid"), ("/starts_at", "offset_missing"), ("/min_age", "out_of_range")]


def test_the_kept_spelling() -> None:
    offer = normalised(
        msgspec.structs.replace(
            PLAIN,
            creative=Creative(title=" Iced\n  tea ", body="a\r\nb\rc ", image_url=" ", deep_link=" app://x "),
            tags=[" Hot Drinks", "hot drinks", "Cre\u0300me"],
            code="  ",
            starts_at=datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
            store_ids=["1 ", "1"],
            channels=["push", "push"],
        )
    )
    assert offer.creative == Creative(title="Iced tea", body="a\nb\nc", image_url=None, deep_link="app://x")
    assert offer.tags == ["hot drinks", "crème"]
    assert (offer.code, offer.starts_at, offer.store_ids, offer.channels) == (None, DAY, ["1"], ["push"])
