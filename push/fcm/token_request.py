"""Asking for an access token, of an endpoint whose answer is bounded in length and time, and is a token or an error of Google's library."""

import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
from google.auth.exceptions import GoogleAuthError

from push.fcm.answer import ANSWER_BYTES_MAX

TIMEOUT_S: Final = 10.0


class NoToken(GoogleAuthError):
    """What came is no answer to the question; the message says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)  # type: ignore[no-untyped-call]


class TokenAnswer(NamedTuple):
    """What the endpoint said, as Google's library reads it."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class TokenRequest:
    """Google's library asks by it; it brings one of its own, which reads on for as long as anybody sends."""

    def __init__(self, ca_file: Path, *, is_cleartext: bool) -> None:
        self._ca_file = ca_file
        self._is_cleartext = is_cleartext

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        **_: Any,
    ) -> TokenAnswer:
        """Raises NoToken."""
        told = {"Accept-Encoding": "identity"} | dict(headers or {})
        tls = ssl.create_default_context(cafile=str(self._ca_file))
        by_proxy = not self._is_cleartext  # the stand-in next door is not behind the proxy of the environment
        try:
            with (
                httpx.Client(verify=tls, trust_env=by_proxy, timeout=TIMEOUT_S) as client,
                client.stream(method, url, content=body, headers=told) as answer,
            ):
                return TokenAnswer(answer.status_code, answer.headers, _read(answer))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NoToken(f"{type(error).__name__}: {error}") from error


def fetch(credential: Any, ask: TokenRequest) -> tuple[str, float]:
    """A new token of a service account, and its life in seconds. Raises GoogleAuthError, also for what is no answer to such a question."""
    try:
        credential.refresh(ask)
        token, life = credential.token, credential.expiry.replace(tzinfo=UTC) - datetime.now(UTC)
    except GoogleAuthError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise NoToken(f"what came is no token: {type(error).__name__}") from None
    if not (isinstance(token, str) and token.isascii() and token.isprintable()):
        raise NoToken("what came is no token: it does not fit into a header")
    return token, life.total_seconds()


def _read(answer: httpx.Response) -> bytes:
    until, data = time.monotonic() + TIMEOUT_S, bytearray()
    for part in answer.iter_raw():
        data += part
        if len(data) > ANSWER_BYTES_MAX:
            raise NoToken(f"the answer is longer than {ANSWER_BYTES_MAX} bytes")
        if time.monotonic() > until:
            raise NoToken(f"the answer is not whole after {TIMEOUT_S:.0f} s")
    return bytes(data)
