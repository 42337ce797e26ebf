"""All that a real `welltimed serve` writes, through refusals, deaths and restarts: JSON line by line, and nothing of what it was sent."""

import contextlib
import json
import socket
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.story.world import kill, postmaster, serving, wait_until

CANARY = "canary7f3a"


def speak_nonsense(url: str) -> None:
    parts = urlsplit(url)
    for words in (
        b"\x16\x03\x01nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: nine\r\n\r\n" + CANARY.encode(),
    ):
        with socket.create_connection((parts.hostname, parts.port), timeout=5) as connection:
            connection.sendall(words)
            with contextlib.suppress(OSError):
                connection.recv(1000)


def provoke(api: httpx.Client) -> None:
    """Whatever a client can send that somebody might want to write down."""
    now = datetime.now(UTC).isoformat()
    person = f"{CANARY}@example.com"
    purchase = {
        "event_id": CANARY,
        "type": "purchase",
        "user_id": person,
        "occurred_at": now,
        "properties": {"tags": [CANARY]},
    }
    assert api.post("/v1/events", json={"sent_at": now, "batch": [purchase]}).status_code == 200
    assert api.post("/v1/events", content=f'{{"sent_at": "{CANARY}'.encode()).status_code in {400, 415}
    assert api.post("/v1/decisions", json={"user_id": person, "context": {"store_id": CANARY}}).status_code in {
        200,
        422,
        400,
    }
    assert (
        api.put("/v1/devices/phone", json={"user_id": person, "token": CANARY * 20, "platform": "android"}).status_code
        < 300
    )
    assert api.get(f"/v1/{CANARY}").status_code == 404
    stranger = {"authorization": f"Bearer sk_{CANARY}_0123456789abcdef"}
    assert api.post("/v1/events", json={}, headers=stranger).status_code == 401


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_all_output_is_json_and_tells_nothing_of_bodies(data_dir: Path, pg_bin: Path | None) -> None:
    with serving(data_dir, pg_bin=pg_bin) as one:
        with one.client() as api:
            provoke(api)
        speak_nonsense(one.url)
        for role in ("worker", "api"):
            (pid,) = one.children(role)
            kill(pid)
            wait_until(lambda role=role, pid=pid: one.children(role) not in ([], [pid]), 30.0, f"no new {role}")
        kill(postmaster(one.postgres_root))
        with one.client() as api:
            wait_until(lambda: is_ready(api), 60.0, "it is not ready again")
        one.stop()
        words = one.words()
    lines = [json.loads(line) for line in words.splitlines()]
    assert {"a process ended and is started again", "migrated"} <= {line["event"] for line in lines}
    assert all({"event", "level", "timestamp"} <= line.keys() for line in lines)
    assert CANARY not in words
    assert one.key not in words


def is_ready(api: httpx.Client) -> bool:
    try:
        return api.get("/readyz").status_code == 200
    except httpx.HTTPError:
        return False
