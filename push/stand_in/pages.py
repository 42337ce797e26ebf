"""What the stand-in tells over HTTP beside FCM's own calls: the inbox, the banners, counters; and where faults are set.

| call | what |
|---|---|
| GET /inbox?after=&limit= · /inbox/ADDRESS | messages as they came: of all phones in order, or of one, with what was replaced |
| GET /banners?after=&limit= · /banners/ADDRESS | what the phones show after replacement by tag, and how many copies came |
| GET /counters | requests to messages:send, messages received, bearer tokens granted |
| GET · PUT · DELETE /faults | see push/stand_in/faults.py: `{"faults": [{"mode": "429", "retry_after_s": 30, "times": 5}]}` |
"""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs, unquote

import msgspec

from push.stand_in.account import Issuer
from push.stand_in.faults import FaultList, Faults
from push.stand_in.inbox import Inbox
from push.stand_in.verdict import Refusal

_LIMIT: Final = 1000
_LIMIT_MAX: Final = 10_000

_encode = msgspec.json.Encoder().encode
_decode_faults = msgspec.json.Decoder(FaultList).decode


class Answer(msgspec.Struct, frozen=True):
    """What to answer; the body is JSON."""

    status: int
    body: bytes
    retry_after_s: int | None = None


def ok(value: Any) -> Answer:
    """200 with the value as JSON."""
    return Answer(200, _encode(value))


def refuse(refusal: Refusal) -> Answer:
    """FCM's error as an answer."""
    return Answer(refusal.http_status, refusal.body(), refusal.retry_after_s)


class Pages:
    """The calls of a test, a demo or a curious developer; nothing of it exists at Google."""

    def __init__(self, inbox: Inbox, issuer: Issuer, faults: Faults, posts: Callable[[], int]) -> None:
        self._inbox = inbox
        self._issuer = issuer
        self._faults = faults
        self._posts = posts

    def answer(self, method: str, path: str, query_string: bytes, body: bytes) -> Answer | None:
        """None for a path that is none of these."""
        if path == "/faults":
            return self._set_faults(method, body)
        return self._tell(path, query_string) if method == "GET" else None

    def _tell(self, path: str, query_string: bytes) -> Answer | None:
        if path in {"/inbox", "/banners"}:
            return self._stretch(path, query_string)
        if path == "/counters":
            return ok({"posts": self._posts(), "received": self._inbox.count, "tokens": self._issuer.granted})
        page, _, address = path.removeprefix("/").partition("/")
        if page == "inbox":
            return ok({"messages": self._inbox.device(unquote(address))})
        if page == "banners":
            return ok({"banners": self._inbox.banners(unquote(address))})
        return None

    def _set_faults(self, method: str, body: bytes) -> Answer | None:
        if method == "DELETE":
            self._faults.put(())
        elif method == "PUT":
            try:
                self._faults.put(_decode_faults(body).faults)
            except msgspec.DecodeError as error:
                return refuse(Refusal(400, "INVALID_ARGUMENT", str(error), field="faults"))
        elif method != "GET":
            return None
        return ok({"faults": self._faults.told()})

    def _stretch(self, path: str, query_string: bytes) -> Answer:
        fields = {key: values[0] for key, values in parse_qs(query_string.decode("latin-1")).items()}
        try:
            after, limit = int(fields.get("after", "0")), int(fields.get("limit", str(_LIMIT)))
        except ValueError:
            return refuse(Refusal(400, "INVALID_ARGUMENT", "after and limit are numbers", field="after"))
        tell: Callable[[int, int], Any] = self._inbox.feed if path == "/inbox" else self._inbox.all_banners
        return ok(tell(max(0, after), min(max(1, limit), _LIMIT_MAX)))
