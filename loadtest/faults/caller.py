"""One client with a connection of its own, opened again whenever it is cut; it asks until it is answered."""

import asyncio
import time
from collections.abc import Mapping
from random import Random
from typing import Any, Final, NamedTuple

import msgspec

from loadtest import wire
from loadtest.faults.ledger import Ledger

ANSWER_TIMEOUT_S: Final = 15.0
PATIENCE_S: Final = 90.0
"""Nothing may stay unanswered for longer, whatever is done to the server."""
PAUSE_S: Final = (0.02, 0.2)
_RETRY_AFTER: Final = b"\r\nretry-after: "
IN_FLIGHT: Final = "idempotency_key_in_flight"


class Answer(NamedTuple):
    """Status (0: none came) and body."""

    status: int
    body: Any

    @property
    def is_success(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300


NONE: Final = Answer(wire.GONE, None)


class Unanswered(Exception):
    """The server did not answer within PATIENCE_S."""


class Caller:
    """Sends one request after the other; everything it hears that is neither success nor a reason to ask again is strange."""

    def __init__(self, port: int, key: str, ledger: Ledger, random: Random) -> None:
        self.random = random
        self.ledger = ledger
        self._port = port
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        self._wire: wire.Connection | None = None
        self._status: asyncio.Future[int] | None = None

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        key: str = "",
        expected: tuple[int, ...] = (),
    ) -> Answer:
        """The first answer of success or of an `expected` status; `key` is an Idempotency-Key.

        Raises:
            Unanswered: none came.
        """
        deadline = time.monotonic() + PATIENCE_S
        while True:
            answer = await self.ask(method, path, body, key)
            if answer.is_success or (answer.status in expected and _code(answer) != IN_FLIGHT):
                return answer
            if answer.status in wire.REFUSALS and not self._says_when():
                self.ledger.strange.append(f"{method} {path}: {answer.status} without Retry-After")
            if answer.status not in {wire.GONE, *wire.REFUSALS, 507} and _code(answer) != IN_FLIGHT:
                self.ledger.strange.append(f"{method} {path}: {answer.status} {str(answer.body)[:200]}")
            self.ledger.retries += 1
            if time.monotonic() > deadline:
                raise Unanswered(f"{method} {path} was not answered in {PATIENCE_S:.0f} s: {answer.status}")
            await asyncio.sleep(self.random.uniform(*PAUSE_S))

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, key: str = "") -> Answer:
        """One try; NONE when the connection was cut, refused, or silent for ANSWER_TIMEOUT_S."""
        headers = self._headers | ({"idempotency-key": key} if key else {})
        data = b"" if body is None else msgspec.json.encode(body)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                if self._wire is None:
                    self._wire = await wire.connect(self._port, self._answered)
                self._status = asyncio.get_running_loop().create_future()
                self._wire.send(wire.request(method, path, headers, data))
                status = await self._status
        except (OSError, TimeoutError, wire.WireError):
            status = wire.GONE
        if status == wire.GONE:
            self.close()
            return NONE
        return Answer(status, _body(self._wire.body if self._wire else b""))

    def _says_when(self) -> bool:
        """Whether the last answer has a Retry-After; one whose connection was cut since cannot be asked."""
        return self._wire is None or _RETRY_AFTER in self._wire.head

    def close(self) -> None:
        """Closes the connection; the next request opens another."""
        if self._wire is not None:
            self._wire.close()
        self._wire = self._status = None

    def _answered(self, connection: wire.Connection, status: int) -> None:
        if connection is self._wire and self._status is not None and not self._status.done():
            self._status.set_result(status)


def _body(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data) if data else None
    except msgspec.DecodeError:
        return data.decode(errors="replace")


def _code(answer: Answer) -> str:
    return str(answer.body.get("code", "")) if isinstance(answer.body, dict) else ""
