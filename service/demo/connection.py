"""One kept-alive HTTP connection, from the standard library: httpx takes four times the CPU a call, and a replay makes ten thousand."""

import time
from http.client import HTTPConnection, HTTPException
from typing import Final
from urllib.parse import urlsplit

TIMEOUT_S: Final = 150.0
IDLE_MAX_S: Final = 30.0
"""Ours closes a connection over which nothing came for 75 s, as while thousands of phones register on a busy machine: after this it is opened anew."""
_SUCCESS: Final = range(200, 300)


class ApiRefused(Exception):
    """The server answered with an error, or not at all; the message tells."""


class Connection:
    """Calls go one after the other."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._http = HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        self._used_at = time.monotonic()

    def close(self) -> None:
        """Closes the connection."""
        self._http.close()

    def call(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> bytes:
        """The body of the answer. Raises ApiRefused."""
        try:
            status, answer = self._exchange(method, path, headers, body)
        except (HTTPException, OSError) as error:
            if method != "GET":
                raise ApiRefused(f"{method} {path} was not answered: {error!r}") from None
            status, answer = self._again(method, path, headers)
        if status not in _SUCCESS:
            raise ApiRefused(f"{method} {path} answered {status}: {answer[:1000].decode(errors='replace')}")
        return answer

    def _again(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        """On a new connection: the server may have closed one that was idle."""
        try:
            return self._exchange(method, path, headers, None)
        except (HTTPException, OSError) as error:
            raise ApiRefused(f"{method} {path} was not answered: {error!r}") from None

    def _exchange(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> tuple[int, bytes]:
        now = time.monotonic()
        if now - self._used_at > IDLE_MAX_S:
            self._http.close()
        self._used_at = now
        try:
            self._http.request(method, path, body, headers)
            response = self._http.getresponse()
            return response.status, response.read()
        except BaseException:
            self._http.close()  # the next call connects anew
            raise
