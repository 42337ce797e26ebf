"""The least server that a benchmark of sending needs: HTTP/2 over TLS, every POST taken and answered after the latency of a real service.

It reads frames but no headers (RFC 9113), keeps nothing, and answers all alike, so that the client is what is measured. Not the
stand-in, which judges what it gets. Bearer tokens are granted to anybody over plain HTTP/1.1. Run as a process of its own:
`python -m push.bench.sink CERTIFICATE KEY`; it prints its two ports and ends when its standard input does.
"""

import asyncio
import json
import ssl
import struct
import sys
from typing import Final, cast

LATENCY_S: Final = 0.065
"""What FCM takes from here: measured answers lie between 50 and 80 ms."""

STREAMS_MAX: Final = 100

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _PING, _WINDOW_UPDATE = 0, 1, 4, 6, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_MAX_CONCURRENT_STREAMS, _INITIAL_WINDOW_SIZE = 3, 4
_WINDOW: Final = 1 << 30

_NAME: Final = b'{"name":"projects/bench/messages/0:1761000000000000%31bd1c9631bd1c96"}'
_TOKEN: Final = json.dumps({"access_token": "ya29.bench", "expires_in": 3599, "token_type": "Bearer"}).encode()
_GRANT: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    % len(_TOKEN)
) + _TOKEN


def _frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream_id) + payload


_SETTINGS_OURS: Final = _frame(
    _SETTINGS, 0, 0, struct.pack(">HIHI", _MAX_CONCURRENT_STREAMS, STREAMS_MAX, _INITIAL_WINDOW_SIZE, _WINDOW)
)
_SETTINGS_SEEN: Final = _frame(_SETTINGS, _ACK, 0, b"")


def _answer(stream_id: int) -> bytes:
    # 0x88 is ":status: 200" in HPACK's static table.
    return _frame(_HEADERS, _END_HEADERS, stream_id, b"\x88") + _frame(_DATA, _END_STREAM, stream_id, _NAME)


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._unread = bytearray()
        self._has_begun = False
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods alone
        self._transport.write(_SETTINGS_OURS + _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", _WINDOW)))

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if not self._has_begun:
            if len(self._unread) < len(_PREFACE):
                return
            del self._unread[: len(_PREFACE)]
            self._has_begun = True
        self._read_frames()

    def _read_frames(self) -> None:
        unread, start, ended, taken = self._unread, 0, [], 0
        while len(unread) - start >= 9:
            size_and_kind, flags, stream_id = struct.unpack_from(">IBI", unread, start)
            size, kind = size_and_kind >> 8, size_and_kind & 0xFF
            end = start + 9 + size
            if len(unread) < end:
                break
            if kind in {_DATA, _HEADERS} and flags & _END_STREAM:
                ended.append(stream_id)
            if kind == _DATA:
                taken += size
            elif kind == _SETTINGS and not flags & _ACK:
                self._transport.write(_SETTINGS_SEEN)
            elif kind == _PING and not flags & _ACK:
                self._transport.write(_frame(_PING, _ACK, 0, bytes(unread[start + 9 : end])))
            start = end
        del unread[:start]
        if taken:
            self._transport.write(_frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", taken)))
        if ended:
            self._loop.call_later(LATENCY_S, self._write, b"".join(map(_answer, ended)))

    def _write(self, answers: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answers)


class _Grants(asyncio.Protocol):
    """A token for whoever asks."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._unread = b""

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if b"assertion=" in self._unread:
            self._transport.write(_GRANT)
            self._transport.close()


async def serve(certificate: str, key: str) -> None:
    """Serves until standard input ends."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    loop = asyncio.get_running_loop()
    messages = await loop.create_server(_Connection, "127.0.0.1", 0, ssl=context)
    grants = await loop.create_server(_Grants, "127.0.0.1", 0)
    ports = [server.sockets[0].getsockname()[1] for server in (messages, grants)]
    print(json.dumps(ports), flush=True)  # noqa: T201 - what the parent waits for
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(*sys.argv[1:]))
