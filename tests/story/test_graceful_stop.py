"""SIGTERM under load, of an API worker, of the background worker and of everything: nothing that was acknowledged is lost."""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.story import crash_audit
from tests.story.crash_load import Answered, Ledger
from tests.story.world import Serve, serving

PEOPLE: Final = 20
PHONES: Final = 6
OFFERS: Final = 3
PATIENCE_S: Final = 60.0
PAUSE_S: Final = 0.01
ENOUGH: Final = 40
"""Answers between one signal and the next."""


class Phone:
    """Keeps one connection until it is told that it is the last answer; notes what was acknowledged, and asks nothing twice."""

    def __init__(self, serve: Serve, ledger: Ledger, name: str) -> None:
        self._port = urlsplit(serve.url).port
        self._key = serve.key
        self._ledger = ledger
        self._name = name
        self._asked = 0
        self.last_answers = 0

    async def run(self, is_over: Callable[[], bool]) -> None:
        """Until it is over, or nobody listens any more."""
        while not is_over():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except ConnectionRefusedError:
                await asyncio.sleep(PAUSE_S)  # while a worker is started again another one listens, at the end nobody
                continue
            try:
                while not is_over() and await self._ask(reader, writer):
                    await asyncio.sleep(PAUSE_S)
            except (OSError, EOFError):
                pass  # it was not answered: nothing is acknowledged
            finally:
                writer.transport.abort()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; False when its answer closes the connection."""
        self._asked += 1
        user_id = f"user-{self._asked % PEOPLE}"
        if self._asked % 2:
            events = [self._event(user_id, number) for number in range(3)]
            path, body = "/v1/events", {"sent_at": datetime.now(UTC).isoformat(), "batch": events}
        else:
            path, body = "/v1/decisions", {"user_id": user_id, "slots": 2}
        head, answer = await self._call(reader, writer, path, body)
        status = int(head.split(b" ", 2)[1])
        if status == 200 and path == "/v1/events":
            assert answer["accepted"] == len(events), answer
            self._ledger.events |= {event["event_id"]: user_id for event in events}
        elif status == 200:
            offers = [offer["offer_id"] for offer in answer["offers"]]
            self._ledger.decisions[answer["decision_id"]] = Answered(user_id, offers)
        elif status != 503:
            self._ledger.strange.append(f"{path}: {status} {answer}")
        is_last = b"connection: close" in head.lower()
        self.last_answers += is_last and status == 200
        return not is_last

    def _event(self, user_id: str, number: int) -> dict[str, Any]:
        return {
            "event_id": f"{self._name}-{self._asked}-{number}",
            "type": "purchase",
            "user_id": user_id,
            "occurred_at": datetime.now(UTC).isoformat(),
            "properties": {"tags": [f"tag-{number}"]},
        }

    async def _call(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: dict[str, Any]
    ) -> tuple[bytes, Any]:
        sent = json.dumps(body).encode()
        writer.write(
            f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {self._key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(sent)}\r\n\r\n".encode()
            + sent
        )
        async with asyncio.timeout(PATIENCE_S):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            return head, json.loads(await reader.readexactly(int(length.partition(b":")[2])))


@pytest.fixture
def serve(data_dir: Path, pg_bin: Path | None) -> Iterator[Serve]:
    with serving(data_dir, "--workers", "2", pg_bin=pg_bin) as running:
        yield running


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_who_is_told_to_stop_loses_nothing_that_was_acknowledged(
    serve: Serve, data_dir: Path, pg_bin: Path | None
) -> None:
    with serve.client() as api:
        for number in range(OFFERS):
            offer = {
                "offer_id": f"offer-{number}",
                "creative": {"title": "Deal"},
                "tags": [f"tag-{number}"],
                "code": "D",
            }
            assert api.put(f"/v1/offers/offer-{number}", json=offer).status_code == 201
    ledger, over = Ledger(), asyncio.Event()
    phones = [Phone(serve, ledger, f"phone-{number}") for number in range(PHONES)]
    async with asyncio.TaskGroup() as load:
        for phone in phones:
            load.create_task(phone.run(over.is_set))
        # One after the other, since the kernel may have given all phones to either.
        for pid in serve.children("api"):
            await _end_one(serve, "api", pid, ledger)
        assert sum(phone.last_answers for phone in phones) > 0, "nobody was told that the worker ends"
        (worker,) = serve.children("worker")
        await _end_one(serve, "worker", worker, ledger)
        await asyncio.to_thread(serve.stop)
        over.set()
    assert ledger.strange == []
    # The same data, served again: the ledger of the phones against the database, and what was learned against a recount.
    with serving(data_dir, key=serve.key, pg_bin=pg_bin) as again:
        await _audit(again, ledger)


async def _end_one(serve: Serve, role: str, pid: int, ledger: Ledger) -> None:
    """SIGTERM of one process of a role while it is being used; returns when there is another one in its place."""
    await _answered(ledger, ENOUGH)
    count = len(serve.children(role))
    os.kill(pid, signal.SIGTERM)
    async with asyncio.timeout(PATIENCE_S):
        while pid in (running := serve.children(role)) or len(running) < count:
            await asyncio.sleep(0.05)
    await _answered(ledger, ENOUGH)


async def _answered(ledger: Ledger, more: int) -> None:
    enough = len(ledger.decisions) + more
    async with asyncio.timeout(PATIENCE_S):
        while len(ledger.decisions) < enough:
            await asyncio.sleep(0.05)


async def _audit(serve: Serve, ledger: Ledger) -> None:
    connection = await asyncpg.connect(serve.dsn())
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await crash_audit.settled(connection):
                await asyncio.sleep(0.1)
        await crash_audit.assert_nothing_lost(connection, ledger)
        await crash_audit.assert_counted_once(connection)
    finally:
        await connection.close()
