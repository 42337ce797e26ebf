"""Who finds a lane full is turned away by first line and headers alone; anything that could be taken for something else is read with care."""

import json

import pytest

from service import telemetry
from service.admission import IN_FLIGHT_MIN
from service.client_address import ClientAddresses, networks
from service.early_answers import whole
from service.front import Front
from service.rate_limits import UNLIMITED

PLAIN = b"POST /v1/decisions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: Keep-Alive\r\n\r\n{}"


async def nobody(*_: object) -> None:
    raise AssertionError("nobody is asked")


@pytest.fixture
def front() -> Front:
    return Front(nobody, UNLIMITED, ClientAddresses(networks("")), lambda _: True, 0.1)


def fill(front: Front) -> None:
    for _ in range(IN_FLIGHT_MIN + 1_000):
        if front._hot["/v1/decisions"].is_full:
            return
        front._hot["/v1/decisions"].enter()


def test_as_long_as_there_is_room_nobody_is_turned_away(front: Front) -> None:
    assert front.turn_away(PLAIN) is None
    fill(front)
    assert front.turn_away(PLAIN) is not None
    assert front.turn_away(PLAIN.replace(b"decisions", b"events")) is None  # another lane
    front._hot["/v1/decisions"].leave()
    assert front.turn_away(PLAIN) is None


def test_the_refusal_is_told_as_any_other(front: Front) -> None:
    fill(front)
    answer = front.turn_away(PLAIN.replace(b"Host: x", b"X-Request-Id: mine"))
    assert answer is not None
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert {b"retry-after: 1", b"x-request-id: mine", b"content-length: %d" % len(body)} <= set(head.split(b"\r\n"))
    assert b"connection" not in head
    problem = json.loads(body)
    assert (problem["code"], problem["status"], problem["request_id"]) == ("overloaded", 503, "mine")


@pytest.mark.parametrize(
    "data",
    [
        PLAIN[:-1],  # not whole
        PLAIN + b"POST /v1/decisions HTTP/1.1\r\n",  # more than one
        PLAIN.replace(b"Content-Length: 2\r\n", b""),
        PLAIN.replace(b"Content-Length: 2", b"Content-Length: +2"),
        PLAIN.replace(b"Content-Length: 2", b"Content-Length: 02"),
        PLAIN.replace(b"Content-Length: 2", b"Content-Length: 2\r\nContent-Length: 2"),
        PLAIN.replace(b"Content-Length: 2", b"Content-Length : 2"),
        PLAIN.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked\r\nContent-Length: 2"),
        PLAIN.replace(b"Host: x", b"Host: x\r\n folded: y"),
        PLAIN.replace(b"Host: x", b"Host: x\nContent-Length: 5"),
        PLAIN.replace(b"Host: x", b"Host: x\rContent-Length: 5"),
        PLAIN.replace(b"Host: x", b"Host: x\0"),
        PLAIN.replace(b"Host: x", b"no colon"),
        PLAIN.replace(b"Keep-Alive", b"close"),
        PLAIN.replace(b"Host: x", b"Expect: 100-continue"),
        PLAIN.replace(b"Host: x", b"Proxy-Connection: close"),  # which the parser reads as Connection
        PLAIN.replace(b"Host: x", b"Upgrade: h2c"),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        PLAIN.replace(b"/v1/decisions", b"/v1/decisions?a=1"),
        PLAIN.replace(b"POST", b"PUT"),
        b"",
        b"\r\n\r\n",
    ],
)
def test_what_is_not_plain_is_left_to_the_parser(front: Front, data: bytes) -> None:
    fill(front)
    assert front.turn_away(data) is None


def test_the_id_is_the_one_that_came() -> None:
    assert whole(PLAIN) == (None,)
    named = PLAIN.replace(b"Host: x", b"x-Request-ID: \tMine ")
    assert whole(named) == (b"Mine",)
    assert whole(named.replace(b"Connection", b"X-Request-Id: other\r\nConnection")) is None


def test_who_is_turned_away_is_counted_when_the_front_tells(front: Front) -> None:
    fill(front)
    counter = telemetry.REFUSED.labels("overload_of_decisions")
    before = counter._value.get()
    for _ in range(3):
        front.turn_away(PLAIN)
    front.tell()
    front.tell()
    assert counter._value.get() == before + 3
