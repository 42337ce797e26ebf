"""A receiver of webhooks on 127.0.0.1 that answers as its path says, and remembers what came."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

import uvicorn


class Came(NamedTuple):
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """`/status/503` answers so, `/later` 429 with Retry-After, `/moved` leads elsewhere, `/hang` never answers, `/cut` breaks off
    its answer, `/big` with a megabyte, `/drip` for ten seconds byte by byte, `/says?…` what stands there, `/once` fails before it takes; all
    else is taken.
    """

    def __init__(self) -> None:
        self.came: list[Came] = []
        self.url = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.came.append(Came(scope["path"], headers, await _read(receive)))
        match scope["path"].split("/")[1:]:
            case ["status", code]:
                await _answer(send, int(code))
            case ["later"]:
                await _answer(send, 429, (b"retry-after", b"120"))
            case ["moved"]:
                await _answer(send, 307, (b"location", b"/elsewhere"))
            case ["once"]:
                await _answer(send, 200 if sum(one.path == "/once" for one in self.came) > 1 else 503)
            case ["big"]:
                await _answer(send, 200, body=bytes(1 << 20))
            case ["says"]:
                await _answer(send, 200, body=unquote_to_bytes(scope["query_string"]))
            case ["drip"]:
                await _drip(send)
            case ["hang"]:
                await asyncio.sleep(60)
            case ["cut"]:
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
                await send({"type": "http.response.body", "body": b"half", "more_body": False})
            case _:
                await _answer(send, 204)


async def _read(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


async def _drip(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(200):
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        await asyncio.sleep(0.05)


async def _answer(send: Any, status: int, *headers: tuple[bytes, bytes], body: bytes = b"") -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def receiving(certificate: tuple[Path, Path] | None = None) -> AsyncIterator[Receiver]:
    """A running receiver, over TLS with a certificate and its key."""
    receiver = Receiver()
    files = {"ssl_certfile": certificate[0], "ssl_keyfile": certificate[1]} if certificate else {}
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            receiver, log_config=None, lifespan="off", loop="asyncio", ws="none", timeout_graceful_shutdown=1, **files
        )
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not running.done():
            await asyncio.sleep(0.005)
        receiver.url = f"{'https' if certificate else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
        try:
            yield receiver
        finally:
            server.should_exit = True
            await running
