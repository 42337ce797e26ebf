"""Clients that send large bodies in chunks all but for the end, and wait: what they have sent is held for them.

Bodies on their way have a bound together (service.connections), which the test lifts.
"""

import asyncio
import contextlib
from typing import Final

BODY_BYTES: Final = 500_000
"""Below what an event batch may be."""
_AT_ONCE: Final = 50
CONNECT_TIMEOUT_S: Final = 10.0


async def flood(port: int, key: str, clients: int, seconds: float) -> int:
    """So many, for so long; how many sent all that they were to send."""
    head = (
        f"POST /v1/events HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
        "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    data = b"%b%x\r\n%b" % (head.encode(), BODY_BYTES, b" " * (BODY_BYTES - 1))
    places = asyncio.Semaphore(_AT_ONCE)
    over = asyncio.Event()

    async def one() -> bool:
        async with places:
            sent = await _sent(port, data)
        await over.wait()
        if sent is not None:
            sent.close()
        return sent is not None

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one()) for _ in range(clients)]
        await asyncio.sleep(seconds)
        over.set()
    return sum(task.result() for task in tasks)


async def _sent(port: int, data: bytes) -> asyncio.StreamWriter | None:
    """None where the server closed the connection, or was not there."""
    writer: asyncio.StreamWriter | None = None
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data)
            await writer.drain()
        return writer
    if writer is not None:
        writer.close()
    return None
