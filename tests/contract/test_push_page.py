"""docs/push.md shows what phones get: its examples are the messages themselves, as they came to the stand-in."""

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
import pytest_asyncio

from push.channel import Accepted
from push.drawing.draft import BUTTONS, Carried, draft_of, message_of
from push.drawing.feedback_token import sign
from push.fcm.channel import FcmChannel
from push.fcm.limits import PAYLOAD_BYTES_MAX, label_of
from push.fcm.message import CATEGORY, PRIVATE_CATEGORY
from push.outbox import Key
from push.sending.claim import ReadyRow
from push.sending.dispatcher import _message
from schema.event import CODES
from schema.offer import Creative, Offer
from tests.contract.stand_in_server import StandInServer

PAGE: Final = (Path(__file__).parents[2] / "docs/push.md").read_text()
NOW: Final = datetime(2026, 3, 2, 9, tzinfo=UTC)
DECISION: Final = UUID("019cad8e-5d00-7a31-9a4c-1f7e0c5b2d60")
RESERVATION: Final = UUID("019cad8e-5d00-7b02-8c11-5a0b9e4f7733")
OUTBOX: Final = UUID("019cad8e-5d00-7c44-b1d2-3e9f60a8c175")
TOKEN: Final = sign(bytes(range(32)), DECISION, 4711, int((NOW + timedelta(hours=78)).timestamp()))
COFFEE: Final = Offer(
    offer_id="flat-white",
    creative=Creative(
        title="Flat white for 1.50",
        body="Today until 18:00",
        image_url="https://shop.example/flat-white.jpg",
        deep_link="shop://offers/flat-white",
    ),
    tags=["coffee"],
)
WINE: Final = Offer(offer_id="red-wine", creative=Creative(title="Red wine"), tags=["wine"], min_age=18)


def example(name: str) -> Any:
    """The JSON of the page that stands below this name."""
    found = re.search(rf"<!-- example: {name} -->\n```json\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None, f"docs/push.md has no example {name}"
    return json.loads(found[1])


@pytest.fixture
def server() -> Any:
    with StandInServer() as running:
        running.now = NOW
        yield running


@pytest_asyncio.fixture
async def channel(server: StandInServer) -> AsyncIterator[FcmChannel]:
    opened = FcmChannel(server.account, base_url=server.url)
    await opened.open()
    yield opened
    await opened.close()


async def came(server: StandInServer, channel: FcmChannel, offer: Offer, **changes: Any) -> Any:
    """A push of this offer as a phone gets it, drawn, kept and sent as the dispatcher does."""
    reservation = RESERVATION if offer is COFFEE else None
    draft = draft_of(offer, 1, Carried(DECISION, TOKEN, reservation))
    draft = draft._replace(label=label_of("lunch", "policy"), **changes)
    row = ReadyRow(
        key=Key(4711, UUID(int=1), NOW),
        outbox_id=OUTBOX,
        expires_at=NOW + timedelta(hours=6),
        decision_id=DECISION,
        offer_id=1,
        message=json.loads(message_of(draft)),
        address="ok-phone",
        address_kind="token",
        fence=1,
        attempts=1,
    )
    (outcome,) = await channel.send([_message(row)], NOW)
    assert isinstance(outcome, Accepted)
    (entry,) = server.get("/inbox/ok-phone")["messages"]
    assert entry["entry"]["is_visible"]
    return {"message": entry["entry"]["message"]}


async def test_a_push_is_what_the_page_shows(server: StandInServer, channel: FcmChannel) -> None:
    assert await came(server, channel, COFFEE) == example("an offer")


async def test_a_push_with_buttons_is_what_the_page_shows(server: StandInServer, channel: FcmChannel) -> None:
    assert await came(server, channel, COFFEE, buttons=BUTTONS) == example("with buttons")


async def test_a_private_push_is_what_the_page_shows_and_says_nothing(
    server: StandInServer, channel: FcmChannel
) -> None:
    private = await came(server, channel, WINE)
    assert private == example("private")
    assert not re.search("wine", json.dumps(private), re.IGNORECASE)


async def test_a_private_push_with_buttons_says_nothing_either(server: StandInServer, channel: FcmChannel) -> None:
    private = (await came(server, channel, WINE, buttons=BUTTONS))["message"]
    assert private["android"]["data"]["visibility"] == "private"
    assert private["apns"]["payload"]["aps"]["category"] == PRIVATE_CATEGORY
    assert not re.search("wine", json.dumps(private), re.IGNORECASE)


def test_the_samples_name_what_there_is() -> None:
    for name in (CATEGORY, PRIVATE_CATEGORY, *BUTTONS, "feedback_token", "/v1/decisions/", str(PAYLOAD_BYTES_MAX)):
        assert name in PAGE, name
    kinds = set(re.findall(r'"type":"(\w+)"|"type" to "(\w+)"', PAGE))
    assert {one or other for one, other in kinds} <= set(CODES)
