"""The stand-in as a test meets it without our channel: what it refuses, and what it is told to do."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.stand_in_server import StandInServer


@pytest.fixture(scope="module")
def server() -> Iterator[StandInServer]:
    with StandInServer() as server:
        yield server


def test_a_fault_that_does_not_exist_is_refused_in_words(server: StandInServer) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        server.put_faults({"mode": "sunspots"})
    with refused.value as answer:
        assert "sunspots" in json.load(answer)["error"]["message"]


def post(server: StandInServer, path: str, body: bytes, token: str) -> tuple[int, Any]:
    request = urllib.request.Request(server.plain_url + path, body, {"Authorization": f"Bearer {token}"})
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
