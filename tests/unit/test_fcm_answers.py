"""Answers of FCM as the SDK reads them, and what they mean for a message."""

import json
from typing import Any

import httpx
import pytest
from firebase_admin.messaging import _MessagingService

from push.channel import Accepted, Outcome, Rejected, RetryAfter, Unknown, Unregistered
from push.fcm.transport import Reply
from push.fcm.verdict import firebase_error, outcome_of

FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"


def reply(code: int, status: str, *details: dict[str, Any], retry_after_s: int = 0) -> Reply:
    error = {"code": code, "message": "in words", "status": status, "details": list(details)}
    return Reply(code, json.dumps({"error": error}).encode(), retry_after_s)


def fcm(code: str) -> dict[str, Any]:
    return {"@type": FCM_ERROR, "errorCode": code}


def fields(*names: str) -> dict[str, Any]:
    return {"@type": BAD_REQUEST, "fieldViolations": [{"field": name, "description": "no"} for name in names]}


CASES = [
    (reply(404, "NOT_FOUND", fcm("UNREGISTERED")), Unregistered()),
    (reply(404, "NOT_FOUND"), RetryAfter(60, "project", "NOT_FOUND: in words")),
    (reply(400, "INVALID_ARGUMENT", fcm("INVALID_ARGUMENT")), Rejected("INVALID_ARGUMENT", "in words", False)),
    (
        reply(400, "INVALID_ARGUMENT", fcm("INVALID_ARGUMENT"), fields("message.token")),
        Rejected("INVALID_ARGUMENT", "in words", False),
    ),
    (reply(400, "INVALID_ARGUMENT", fields("message.android.ttl")), Rejected("INVALID_ARGUMENT", "in words", True)),
    (
        reply(400, "INVALID_ARGUMENT", fcm("INVALID_ARGUMENT"), fields("message.token", "message.data[0]")),
        Rejected("INVALID_ARGUMENT", "in words", True),
    ),
    (reply(400, "INVALID_ARGUMENT"), Rejected("INVALID_ARGUMENT", "in words", True)),
    (reply(403, "PERMISSION_DENIED", fcm("SENDER_ID_MISMATCH")), Rejected("SENDER_ID_MISMATCH", "in words", False)),
    (reply(403, "PERMISSION_DENIED"), RetryAfter(60, "project", "PERMISSION_DENIED: in words")),
    (
        reply(401, "UNAUTHENTICATED", fcm("THIRD_PARTY_AUTH_ERROR")),
        RetryAfter(900, "platform", "THIRD_PARTY_AUTH_ERROR: in words"),
    ),
    (reply(401, "UNAUTHENTICATED"), RetryAfter(60, "project", "UNAUTHENTICATED: in words")),
    (
        reply(429, "RESOURCE_EXHAUSTED", fcm("QUOTA_EXCEEDED"), retry_after_s=7),
        RetryAfter(7, "project", "RESOURCE_EXHAUSTED: in words", is_over_quota=True),
    ),
    (reply(429, "RESOURCE_EXHAUSTED"), RetryAfter(60, "project", "RESOURCE_EXHAUSTED: in words", is_over_quota=True)),
    (reply(500, "INTERNAL", fcm("INTERNAL")), RetryAfter(10, "message", "INTERNAL: in words")),
    (reply(500, "INTERNAL", retry_after_s=3), RetryAfter(3, "message", "INTERNAL: in words")),
    (reply(503, "UNAVAILABLE", fcm("UNAVAILABLE")), Unknown("UNAVAILABLE: in words")),
    (reply(504, "DEADLINE_EXCEEDED"), Unknown("UNKNOWN: in words")),
]


@pytest.mark.parametrize(("answer", "expected"), CASES)
def test_each_answer_has_its_outcome(answer: Reply, expected: Outcome) -> None:
    assert outcome_of(answer) == expected


@pytest.mark.parametrize("answer", [answer for answer, _ in CASES if answer.status != 504])
def test_errors_have_the_class_that_the_sdk_gives_them(answer: Reply) -> None:
    request = httpx.Request("POST", "https://fcm.googleapis.com/")
    response = httpx.Response(answer.status, content=answer.body, request=request)
    error = httpx.HTTPStatusError("status", request=request, response=response)
    by_sdk = _MessagingService._handle_fcm_httpx_error(_MessagingService.__new__(_MessagingService), error)
    assert (type(firebase_error(answer)), str(firebase_error(answer))) == (type(by_sdk), str(by_sdk))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Reply(200, b'{"name":"projects/p/messages/1"}', 0), Accepted("projects/p/messages/1")),
        (Reply(200, b"<html>sign in to the hotel</html>", 0), Unknown("200 without a message name")),
        (Reply(502, b"<html>Bad Gateway</html>", 0), Unknown("UNKNOWN: HTTP 502")),
        (Reply(503, b"", 0), Unknown("UNAVAILABLE: HTTP 503")),
        (Reply(413, b"<html>", 0), Rejected("HTTP_413", "HTTP 413", True)),
        (Reply(429, b"null", 0), RetryAfter(60, "project", "RESOURCE_EXHAUSTED: HTTP 429", is_over_quota=True)),
        (Reply(400, b'{"error":"invalid"}', 0), Rejected("INVALID_ARGUMENT", "HTTP 400", True)),
    ],
)
def test_answers_that_are_not_fcms_json(answer: Reply, expected: Outcome) -> None:
    assert outcome_of(answer) == expected
