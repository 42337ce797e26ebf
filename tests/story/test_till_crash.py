"""Sixty-four tills want 6,000 of the 500 that there are, and PostgreSQL is killed twice meanwhile: exactly 500 get one, and know it."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Final

import asyncpg
import pytest

from loadtest import wire
from schema.event import EventType
from tests.story.world import Serve, kill, postgres_processes, serving

SEED: Final = "tills"
LIMIT: Final = 500
ATTEMPTS: Final = 6_000
TILLS: Final = 64
REPLAY_EVERY: Final = 10
PROMISED: Final = 60
KILL_AT: Final = (150, 350)
"""Acknowledged redemptions at which every process of PostgreSQL is killed."""


class Till:
    """One till with a connection of its own, opened again whenever it is cut."""

    def __init__(self, serve: Serve) -> None:
        self._port = int(serve.url.rpartition(":")[2])
        self._headers = serve.headers | {"content-type": "application/json"}
        self._answer: asyncio.Future[int]
        self._wire: wire.Connection | None = None

    async def ask(self, path: str, key: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and body of an answer; status 0 when the connection was cut."""
        loop = asyncio.get_running_loop()
        if self._wire is None:
            self._wire = await wire.connect(self._port, lambda _, status: self._answer.set_result(status))
        self._answer = loop.create_future()
        headers = self._headers | {"idempotency-key": key}
        self._wire.send(wire.request("POST", path, headers, json.dumps(body).encode()))
        status = await self._answer
        if status == wire.GONE:
            self._wire = None
            return status, {}
        return status, json.loads(self._wire.body)

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()


class Told:
    """What the tills were told of each attempt, by its Idempotency-Key."""

    def __init__(self) -> None:
        self.answers: defaultdict[str, set[str]] = defaultdict(set)
        self.redeemed: dict[str, str] = {}
        self.retries = 0
        self.strange: list[str] = []

    async def attempt(self, till: Till, key: str, body: dict[str, Any]) -> None:
        """Asks until it is answered."""
        while not self._heard(key, *await till.ask("/v1/redemptions", key, body)):
            self.retries += 1
            await asyncio.sleep(0.05)

    def _heard(self, key: str, status: int, body: dict[str, Any]) -> bool:
        if status == 201:
            self.answers[key].add(body["redemption_id"])
            self.redeemed[key] = body["redemption_id"]
        elif status == 409 and body["code"] in {"limit_reached", "already_redeemed"}:
            self.answers[key].add(body["code"])
        elif status in {0, 503} or body["code"] == "idempotency_key_in_flight":
            return False
        else:
            self.strange.append(f"{key}: {status} {body}")
        return True


@pytest.fixture
def serve(data_dir: Path, pg_bin: Path | None) -> Iterator[Serve]:
    with serving(data_dir, "--workers", "2", pg_bin=pg_bin) as running:
        yield running


async def promised(till: Till) -> list[str]:
    """Reservations that apps hold before the rush."""
    found: list[str] = []
    for n in range(2 * PROMISED):
        _, answer = await till.ask("/v1/decisions", f"app-{n}", {"user_id": f"app-{n}"})
        found += [one["reservation"]["reservation_id"] for one in answer["offers"]]
        if len(found) == PROMISED:
            break
    assert len(found) == PROMISED
    return found


def attempts(reservations: list[str], random: Random) -> list[tuple[str, dict[str, Any]]]:
    """Each reservation at two tills, the rest by code; some are told again under the key they had."""
    wanted = [{"reservation_id": one} for one in reservations for _ in range(2)]
    wanted += [{"user_id": f"person-{n}", "code": "FREE"} for n in range(ATTEMPTS - len(wanted))]
    random.shuffle(wanted)
    keyed = [(f"sale-{n}", body) for n, body in enumerate(wanted)]
    replayed = [keyed[n] for n in range(0, len(keyed), REPLAY_EVERY)]
    return [*keyed, *replayed]


async def work(serve: Serve, told: Told, queue: Iterator[tuple[str, dict[str, Any]]]) -> None:
    till = Till(serve)
    for key, body in queue:
        await told.attempt(till, key, body)
    till.close()


async def kill_twice(serve: Serve, told: Told) -> None:
    for count in KILL_AT:
        while len(told.redeemed) < count:
            await asyncio.sleep(0.01)
        for pid in postgres_processes(serve.postgres_root):
            kill(pid)


@pytest.mark.slow
@pytest.mark.timeout(150)
async def test_exactly_as_many_are_redeemed_as_there_are(serve: Serve) -> None:
    with serve.client() as http:
        offer = {
            "offer_id": "free",
            "creative": {"title": "Free"},
            "tags": ["x"],
            "code": "FREE",
            "redemptions_max": LIMIT,
        }
        assert http.post("/v1/offers", json=offer).status_code == 201
    app, told = Till(serve), Told()
    queue = iter(attempts(await promised(app), Random(SEED)))
    app.close()
    async with asyncio.TaskGroup() as group:
        group.create_task(kill_twice(serve, told))
        for _ in range(TILLS):
            group.create_task(work(serve, told, queue))
    assert told.strange == []
    assert told.retries > 0
    assert [
        key for key, answers in told.answers.items() if len(answers) != 1
    ] == []  # nobody was told now this, now that
    assert len(told.answers) == ATTEMPTS
    assert len(told.redeemed) == len(set(told.redeemed.values())) == LIMIT
    await assert_kept(serve, told)


async def assert_kept(serve: Serve, told: Told) -> None:
    """The database holds what the tills were told, and nothing else."""
    connection = await asyncpg.connect(serve.dsn())
    try:
        rows = await connection.fetch("select redemption_id, reservation_id from redemptions")
        assert {str(row[0]) for row in rows} == set(told.redeemed.values())
        reserved = [row[1] for row in rows if row[1] is not None]
        assert len(reserved) == len(set(reserved)) == PROMISED
        counts = await connection.fetchrow("select reserved, redeemed from allowances")
        assert tuple(counts) == (0, LIMIT)
        rewards = await connection.fetchval("select count(*) from events where type = $1", int(EventType.REDEEMED))
        assert rewards == LIMIT
        assert await connection.fetchval("select max(occurred_at) from redemptions") < datetime.now(UTC)
    finally:
        await connection.close()
