"""POST over multiplexed HTTP/2 by libcurl, telling what was certainly never processed from what perhaps was.

libcurl sends a request again by itself when a connection it had used before dies without an answer. For a push that is
a second banner on the phone. It must rewind the body for that, so bodies are handed over by a read function that
cannot be rewound: libcurl then gives up with SEND_FAIL_REWIND after one POST. The same happens when the server refuses
the stream. When a connection dies, libcurl says first what it died of, and the rewind is not what it complains of; so, over HTTP/2,
the bare complaint means a refused stream, unless the system has an error to tell of the connection. That wording is held by tests, and
so are ten ways in which a connection dies; if it changes, refused streams count as unknown.
"""

import asyncio
import io
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import pycurl

from push.channel import NotProcessed, Unknown
from push.fcm.answer import ANSWER_BYTES_MAX
from push.fcm.curl_loop import CurlLoop

_REFUSED: Final = (pycurl.E_SEND_FAIL_REWIND, "necessary data rewind was not possible")
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


Posted = Reply | NotProcessed | Unknown


def is_refused_stream(code: int, text: str, os_errno: int) -> bool:
    """Whether libcurl's complaint over HTTP/2 can only mean that the server refused the stream; a connection that died leaves an errno."""
    return (code, text) == _REFUSED and not os_errno


class _Batch:
    """Requests that are waited for together."""

    __slots__ = ("ended", "left", "outcomes")

    def __init__(self, size: int, ended: asyncio.Future[None]) -> None:
        self.outcomes: list[Posted] = [NotProcessed("never begun")] * size
        self.left = size
        self.ended = ended

    def end(self, place: int, outcome: Posted) -> None:
        self.outcomes[place] = outcome
        self.left -= 1
        if not self.left and not self.ended.done():
            self.ended.set_result(None)


class _Exchange:
    """One easy handle with the buffers of its request; used again and again, since making a handle is dear."""

    __slots__ = ("_answer", "_headers", "_unread", "batch", "curl", "place")

    def __init__(self, url: str, ca_file: Path | None, deadline_s: float) -> None:
        self._headers: Sequence[str] = ()
        self._unread = io.BytesIO()
        self._answer = bytearray()
        self.batch: _Batch | None = None
        self.place = 0
        self.curl = curl = pycurl.Curl()
        is_tls = url.startswith("https:")
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.POST, 1)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS)
        curl.setopt(pycurl.PIPEWAIT, 1)
        curl.setopt(pycurl.USERAGENT, "welltimed")
        curl.setopt(pycurl.TIMEOUT_MS, round(deadline_s * 1000))
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, round(min(deadline_s, _CONNECT_TIMEOUT_S) * 1000))
        curl.setopt(pycurl.MAXAGE_CONN, _IDLE_TLS_S if is_tls else _IDLE_CLEARTEXT_S)
        # Without a seek function beside it the read function cannot be rewound.
        curl.setopt(pycurl.READFUNCTION, self._unread.read)
        curl.setopt(pycurl.WRITEFUNCTION, self._take)
        if not is_tls:
            curl.setopt(pycurl.PROXY, "")  # the stand-in next door is not behind the proxy of the environment
        if ca_file is not None:
            curl.setopt(pycurl.CAINFO, str(ca_file))

    def prepare(self, body: bytes, headers: Sequence[str], batch: _Batch, place: int) -> None:
        if headers is not self._headers:
            self._headers = headers
            self.curl.setopt(pycurl.HTTPHEADER, list(headers))
        self.curl.setopt(pycurl.POSTFIELDSIZE, len(body))
        self._unread.seek(0)
        self._unread.truncate()
        self._unread.write(body)
        self._unread.seek(0)
        self._answer.clear()
        self.batch, self.place = batch, place

    def reply(self) -> Reply:
        status: int = self.curl.getinfo(pycurl.RESPONSE_CODE)
        retry_after_s: int = 0 if status == 200 else self.curl.getinfo(pycurl.RETRY_AFTER)
        return Reply(status, bytes(self._answer), retry_after_s)

    def _take(self, part: bytes) -> int | None:
        """None when it is taken; less than was offered ends the transfer, of HTTP/2 this one alone."""
        if len(self._answer) + len(part) > ANSWER_BYTES_MAX:
            return 0
        self._answer += part
        return None

    def speaks_h2(self) -> bool:
        return bool(self.curl.getinfo(pycurl.INFO_HTTP_VERSION) == pycurl.CURL_HTTP_VERSION_2_0)

    def failure(self, error: pycurl.error, *, is_h2: bool) -> NotProcessed | Unknown:
        """A body libcurl never asked for cannot have been sent, whatever the error was; unless it was answered, at too great a length."""
        code, text = error.args
        if code == pycurl.E_WRITE_ERROR:
            return Unknown(f"its answer is longer than {ANSWER_BYTES_MAX} bytes")
        reason = f"curl {code}: {text or self.curl.errstr()}"
        if not self._unread.tell():
            return NotProcessed(reason)
        if is_h2 and is_refused_stream(code, text, self.curl.getinfo(pycurl.OS_ERRNO)):
            return NotProcessed(f"stream refused, {reason}")
        return Unknown(reason)


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
        self._idle: list[_Exchange] = []
        self._active: dict[pycurl.Curl, _Exchange] = {}
        self._waiting: deque[tuple[bytes, Sequence[str], _Batch, int]] = deque()
        self._curls: CurlLoop | None = None
        self._is_h2 = url.startswith("https:")  # until an answer comes by another version

    async def open(self) -> None:
        self._curls = curls = CurlLoop(self._on_end)
        connections = -(-self._in_flight_max // _STREAMS_A_CONNECTION) + 1
        if not self._url.startswith("https:"):
            connections = min(self._in_flight_max, _CONNECTIONS_HTTP1_MAX)
        curls.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
        curls.setopt(pycurl.M_MAX_CONCURRENT_STREAMS, _STREAMS_A_CONNECTION)
        curls.setopt(pycurl.M_MAX_HOST_CONNECTIONS, connections)
        curls.setopt(pycurl.M_MAXCONNECTS, connections)

    async def post(self, body: bytes, headers: Sequence[str]) -> Posted:
        """Send once, never twice."""
        return (await self.post_all([body], headers))[0]

    async def post_all(self, bodies: Sequence[bytes], headers: Sequence[str]) -> list[Posted]:
        """Send each once, never twice; what came of them, in order.

        Pass the same `headers` object while they stay the same: it saves setting them.
        """
        if self._curls is None:
            return [NotProcessed("transport is closed")] * len(bodies)
        if not bodies:
            return []
        batch = _Batch(len(bodies), asyncio.get_running_loop().create_future())
        self._waiting.extend((body, headers, batch, place) for place, body in enumerate(bodies))
        self._begin(self._curls)
        self._curls.arm()
        try:
            await batch.ended
        except asyncio.CancelledError:
            self._break_off(batch)
            raise
        return batch.outcomes

    async def close(self) -> None:
        """Drop what is in flight; whoever waits for it is cancelled."""
        if self._curls is not None:
            curls, self._curls = self._curls, None
            batches = {exchange.batch for exchange in self._active.values()} | {one[2] for one in self._waiting}
            for curl in self._active:
                curls.remove(curl)
            curls.close()
            self._active.clear()
            self._waiting.clear()
            for batch in batches:
                if batch is not None:
                    batch.ended.cancel()
        self._idle.clear()

    def _begin(self, curls: CurlLoop) -> None:
        while self._waiting and len(self._active) < self._in_flight_max:
            exchange = self._idle.pop() if self._idle else _Exchange(self._url, self._ca_file, self._deadline_s)
            exchange.prepare(*self._waiting.popleft())
            self._active[exchange.curl] = exchange
            curls.add(exchange.curl)

    def _on_end(self, curl: pycurl.Curl, error: pycurl.error | None) -> None:
        exchange = self._active.pop(curl)
        batch, exchange.batch = exchange.batch, None
        self._idle.append(exchange)
        if batch is not None:
            if error is not None:
                outcome: Posted = exchange.failure(error, is_h2=self._is_h2)
            else:
                self._is_h2 = self._is_h2 and exchange.speaks_h2()
                outcome = exchange.reply()
            batch.end(exchange.place, outcome)
        if self._waiting and self._curls is not None:
            self._begin(self._curls)

    def _break_off(self, batch: _Batch) -> None:
        """Nobody waits for it any more: its places in flight are free. A handle in use is not used again."""
        self._waiting = deque(one for one in self._waiting if one[2] is not batch)
        gone = [curl for curl, exchange in self._active.items() if exchange.batch is batch]
        for curl in gone:
            del self._active[curl]
            if self._curls is not None:
                self._curls.remove(curl)
        if self._curls is not None:
            self._begin(self._curls)
            self._curls.arm()
