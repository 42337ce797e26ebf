"""Whatever the token endpoint answers, nothing is sent with it, and nothing but a reason comes of it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import pytest

from push.channel import Message, NotProcessed
from push.fcm import token_request
from push.fcm.channel import FcmChannel
from push.stand_in.account import make_service_account
from tests.integration.webhook_receiver import receiving

NOW: Final = datetime.now(UTC)
MESSAGE: Final = Message(
    outbox_id="1",
    address="ok-1",
    address_kind="token",
    title="t",
    body="b",
    data={},
    collapse_id="c",
    expires_at=NOW + timedelta(hours=1),
)


def says(answer: Any) -> str:
    return "says?" + quote(answer if isinstance(answer, bytes) else json.dumps(answer))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("big", "longer than 65536 bytes"),
        ("drip", "not whole"),
        ("cut", "RemoteProtocolError"),
        ("status/204", "no access token"),
        (says(b"<html>"), "no token: TypeError"),
        (says(b"\xff"), "no token: UnicodeDecodeError"),
        (says([]), "no token: TypeError"),
        (says({"access_token": "a"}), "no token: AttributeError"),
        (says({"access_token": "a", "expires_in": 10**400}), "no token: OverflowError"),
        (says({"access_token": "a\r\nx: y", "expires_in": 3599}), "does not fit into a header"),
        (says({"access_token": "\u0430", "expires_in": 3599}), "does not fit into a header"),
        (says({"access_token": 1, "expires_in": 3599}), "does not fit into a header"),
    ],
)
async def test_what_is_no_token_is_a_reason_not_to_send(
    path: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_request, "TIMEOUT_S", 1.0)
    async with receiving() as receiver:
        account = make_service_account(receiver.url) | {"token_uri": f"{receiver.url}/{path}"}
        channel = FcmChannel(account, base_url=receiver.url)
        await channel.open()
        (outcome,) = await channel.send([MESSAGE], NOW)
        await channel.close()
        assert isinstance(outcome, NotProcessed)
        assert reason in outcome.reason
        assert {came.path for came in receiver.came} == {"/" + path.partition("?")[0]}
