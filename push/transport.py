"""POST over multiplexed HTTP/2 by libcurl, telling what was certainly never processed from what perhaps was.

libcurl sends a request again by itself when a connection it had used before dies without an answer. For a push that is
a second banner on the phone. It must rewind the body for that, so bodies are handed over by a read function that
cannot be rewound: libcurl then gives up with SEND_FAIL_REWIND after one POST. The same happens when the server refuses
the stream, which libcurl tells only in its debug text; if that wording changes, refused streams count as unknown.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pycurl

from push.channel import NotProcessed, Unknown

_REFUSED = b"refused by server, try again"
_STREAMS_A_CONNECTION = 100  # FCM's own limit
_CONNECTIONS_HTTP1_MAX = 64
_IDLE_TLS_S = 60
_IDLE_CLEARTEXT_S = 3  # below the 5 s after which uvicorn hangs up
_CONNECT_TIMEOUT_S = 10.0


class Reply(msgspec.Struct, frozen=True):
    """An answer of the server, whatever its status; `retry_after_s` is 0 without the header."""

    status: int
    body: bytes
    retry_after_s: int


class _Exchange:
    """One easy handle with the buffers of its request; used again and again, since making a handle is dear."""

    def __init__(self, url: str, ca_file: Path | None, deadline_s: float) -> None:
        self.curl = curl = pycurl.Curl()
        is_tls = url.startswith("https:")
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.POST, 1)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS)
        curl.setopt(pycurl.PIPEWAIT, 1)
        curl.setopt(pycurl.TIMEOUT_MS, round(deadline_s * 1000))
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, round(min(deadline_s, _CONNECT_TIMEOUT_S) * 1000))
        curl.setopt(pycurl.MAXAGE_CONN, _IDLE_TLS_S if is_tls else _IDLE_CLEARTEXT_S)
        curl.setopt(pycurl.READFUNCTION, self._read)
        curl.setopt(pycurl.WRITEFUNCTION, self._write)
        curl.setopt(pycurl.DEBUGFUNCTION, self._debug)
        curl.setopt(pycurl.VERBOSE, 1)
        if not is_tls:
            curl.setopt(pycurl.PROXY, "")  # the stand-in next door is not behind the proxy of the environment
        if ca_file is not None:
            curl.setopt(pycurl.CAINFO, str(ca_file))
        self._headers: Sequence[str] = ()
        self._unread = b""
        self._answer: list[bytes] = []
        self.was_read = False
        self.was_refused = False

    def prepare(self, body: bytes, headers: Sequence[str]) -> None:
        if headers is not self._headers:
            self._headers = headers
            self.curl.setopt(pycurl.HTTPHEADER, list(headers))
        self.curl.setopt(pycurl.POSTFIELDSIZE, len(body))
        self._unread = body
        self._answer.clear()
        self.was_read = self.was_refused = False

    def reply(self) -> Reply:
        retry_after_s: int = self.curl.getinfo(pycurl.RETRY_AFTER)
        return Reply(self.curl.getinfo(pycurl.RESPONSE_CODE), b"".join(self._answer), retry_after_s)

    def failure(self, error: pycurl.error) -> NotProcessed | Unknown:
        """A body libcurl never asked for cannot have been sent, whatever the error was."""
        code, text = error.args
        reason = f"curl {code}: {text or self.curl.errstr()}"
        if not self.was_read:
            return NotProcessed(reason)
        if self.was_refused:
            return NotProcessed(f"stream refused, {reason}")
        return Unknown(reason)

    def _read(self, size: int) -> bytes:
        self.was_read = True
        chunk, self._unread = self._unread[:size], self._unread[size:]
        return chunk

    def _write(self, chunk: bytes) -> None:
        self._answer.append(chunk)

    def _debug(self, kind: int, text: bytes) -> None:
        if kind == pycurl.INFOTYPE_TEXT and _REFUSED in text:
            self.was_refused = True


class Transport:
    """POSTs to one URL from one event loop: connections kept and shared, requests in flight bounded."""

    def __init__(
        self, url: str, *, ca_file: Path | None = None, in_flight_max: int = 500, deadline_s: float = 15.0
    ) -> None:
        """Take an https URL for HTTP/2, or an http URL for HTTP/1.1 without encryption (the stand-in's).

        `ca_file` holds the certificates trusted; libcurl's own default is a path of its build, absent on Debian.
        The deadline runs from the moment a request leaves the queue of those waiting for one of the places in flight.
        """
        self._url = url
        self._ca_file = ca_file
        self._deadline_s = deadline_s
        self._in_flight_max = in_flight_max
        self._places = asyncio.Semaphore(in_flight_max)
        self._idle: list[_Exchange] = []
        self._multi: pycurl.AsyncCurlMulti | None = None

    async def open(self) -> None:
        self._multi = multi = pycurl.AsyncCurlMulti()
        connections = -(-self._in_flight_max // _STREAMS_A_CONNECTION) + 1
        if not self._url.startswith("https:"):
            connections = min(self._in_flight_max, _CONNECTIONS_HTTP1_MAX)
        multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
        multi.setopt(pycurl.M_MAX_CONCURRENT_STREAMS, _STREAMS_A_CONNECTION)
        multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, connections)
        multi.setopt(pycurl.M_MAXCONNECTS, connections)

    async def post(self, body: bytes, headers: Sequence[str]) -> Reply | NotProcessed | Unknown:
        """Send once, never twice. Pass the same `headers` object while they stay the same: it saves setting them."""
        if self._multi is None:
            return NotProcessed("transport is closed")
        async with self._places:
            exchange = self._idle.pop() if self._idle else _Exchange(self._url, self._ca_file, self._deadline_s)
            exchange.prepare(body, headers)
            try:
                await self._multi.perform(exchange.curl)
            except pycurl.error as error:
                outcome: Reply | NotProcessed | Unknown = exchange.failure(error)
            else:
                outcome = exchange.reply()
            # A cancelled exchange never comes here: libcurl still holds its handle, which must not be used again.
            self._idle.append(exchange)
            return outcome

    async def close(self) -> None:
        """Drop what is in flight; whoever waits for it is cancelled."""
        if self._multi is not None:
            multi, self._multi = self._multi, None
            await multi.aclose()
        self._idle.clear()
