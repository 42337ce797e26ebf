"""What our server is measured against, each in a process of its own: a bare ASGI echo, and one durable INSERT a request.

`python -m loadtest.reference_apps echo|insert` prints `{"port": …}` once it serves, and ends when its standard input closes.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import asyncpg
import uvicorn
import uvloop

from loadtest import sessions

POOL_MAX: Final = 8
"""As many connections as an API worker has."""
_BACKLOG: Final = 2048
_INSERT: Final = "insert into load_inserts (id, body) values ($1, $2)"

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


def echo(answer: bytes) -> Asgi:
    """Reads the body and answers `answer`: the least any ASGI application does."""
    start = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())],
    }
    end = {"type": "http.response.body", "body": answer}

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await _body(receive)
        await send(start)
        await send(end)

    return app


def insert(pool: asyncpg.Pool, answer: bytes) -> Asgi:
    """As `echo`, with the body written to PostgreSQL first, in a transaction of its own."""
    echoed = echo(answer)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = await _body(receive)
        async with pool.acquire() as connection:
            await connection.execute(_INSERT, uuid.UUID(bytes=os.urandom(16)), body)
        await echoed(scope, _nothing_more, send)

    return app


async def _nothing_more() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _body(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body", False):
            return body


@contextlib.asynccontextmanager
async def _app(name: str, answer: bytes, dsn: str) -> AsyncIterator[Asgi]:
    if name == "echo":
        yield echo(answer)
        return
    named = {"application_name": sessions.REFERENCE}
    async with asyncpg.create_pool(
        dsn, min_size=POOL_MAX, max_size=POOL_MAX, reset=_leave, server_settings=named
    ) as pool:
        yield insert(pool, answer)


async def _leave(_connection: Any) -> None:
    """No session state is made, so none is undone: that would be a second round trip."""


async def _serve(name: str, answer_bytes: int, dsn: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
    async with _app(name, b"x" * answer_bytes, dsn) as app:
        config = uvicorn.Config(
            app, http="httptools", loop="none", ws="none", lifespan="off", log_config=None, access_log=False
        )
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
        await uvicorn.Server(config).serve(sockets=[listener])


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Serves one of the two until standard input closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=("echo", "insert"))
    parser.add_argument("--answer-bytes", type=int, required=True)
    parser.add_argument("--dsn", default="")
    asked = parser.parse_args()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        uvloop.run(_serve(asked.name, asked.answer_bytes, asked.dsn))


if __name__ == "__main__":
    main()
