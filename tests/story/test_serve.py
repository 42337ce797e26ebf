"""`welltimed serve` as a whole: it ends in order, comes back after kill -9 with all data, and shares a data directory."""

import json
import os
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.story.world import (
    Serve,
    kill,
    postgres_processes,
    postmaster,
    serving,
    wait_until,
    wait_until_gone,
)

STOP_S_MAX = 8.0
ORPHANS_S_MAX = 8.0

OFFER = {"offer_id": "milk", "creative": {"title": "Milk"}, "tags": ["milk"]}


def send_event(api: httpx.Client, name: str) -> dict[str, int]:
    event = {
        "event_id": name,
        "type": "purchase",
        "user_id": f"user of {name}",
        "occurred_at": datetime.now(UTC).isoformat(),
        "properties": {"tags": ["milk"]},
    }
    answer = api.post("/v1/events", json={"sent_at": datetime.now(UTC).isoformat(), "batch": [event]})
    assert answer.status_code == 200, answer.text
    told: dict[str, int] = answer.json()
    return told


def assert_has_everything(api: httpx.Client, decision_id: str) -> None:
    assert api.get("/v1/offers/milk").json()["offer_id"] == "milk"
    assert send_event(api, "first")["duplicates"] == 1
    explained = api.get(f"/v1/decisions/{decision_id}/explanation", params={"user_id": "user of first"})
    assert explained.json()["decision_id"] == decision_id


def niceness(pids: Sequence[int]) -> set[int]:
    """Of these processes."""
    return {os.getpriority(os.PRIO_PROCESS, pid) for pid in pids}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_it_ends_in_order_and_comes_back_with_all_data(data_dir: Path, pg_bin: Path | None) -> None:
    key = f"sk_{secrets.token_hex(20)}"
    with serving(data_dir, key=key, pg_bin=pg_bin) as first, first.client() as api:
        assert api.put("/v1/offers/milk", json=OFFER).status_code == 201
        assert send_event(api, "first")["accepted"] == 1
        decided = api.post("/v1/decisions", json={"user_id": "user of first"}).json()
        assert {role: len(first.children(role)) for role in ("api", "worker", "stand-in")} == {
            "api": 1,
            "worker": 1,
            "stand-in": 1,
        }
        wait_until(lambda: len(first.children("drawer")) == 1, 5.0, "nobody helps to draw")
        (ours,) = niceness(first.children("api"))
        assert niceness(first.children("worker")) == {ours}
        drawing = first.children("drawer")
        wait_until(lambda: niceness(drawing) == {ours + 5}, 10.0, "who helps does not stand behind")
        assert first.stop() < STOP_S_MAX
        assert postgres_processes(first.postgres_root) == []

    with serving(data_dir, key=key, pg_bin=pg_bin) as second:
        with second.client() as api:
            assert_has_everything(api, decided["decision_id"])
        server = postmaster(second.postgres_root)
        wait_until_gone(second.kill(), ORPHANS_S_MAX)
        assert server in postgres_processes(second.postgres_root)

    with serving(data_dir, key=key, pg_bin=pg_bin) as third:
        assert postmaster(third.postgres_root) == server
        with third.client() as api:
            assert_has_everything(api, decided["decision_id"])
        assert third.stop() < STOP_S_MAX
        assert not (data_dir / f"stand-in-account-{third.process.pid}.json").exists()
        assert postgres_processes(third.postgres_root) == []


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_two_share_a_data_directory_and_one_outlives_the_other(data_dir: Path, pg_bin: Path | None) -> None:
    key = f"sk_{secrets.token_hex(20)}"
    pair = [Serve(data_dir, key=key, pg_bin=pg_bin) for _ in range(2)]
    try:
        for one in pair:
            one.wait_until_ready()
        dying, living = pair
        assert dying.url != living.url
        # Each has a stand-in of its own, which knows its own account alone.
        accounts = [json.loads(path.read_text()) for path in data_dir.glob("stand-in-account-*.json")]
        assert {account["token_uri"] for account in accounts} == {f"{one.stand_in_url}/token" for one in pair}
        server = postmaster(living.postgres_root)
        with dying.client() as api, living.client() as other:
            assert send_event(api, "first")["accepted"] == 1
            assert send_event(other, "first")["duplicates"] == 1
        wait_until_gone(dying.kill(), ORPHANS_S_MAX)
        with living.client() as other:
            assert send_event(other, "second")["accepted"] == 1
            assert other.get("/readyz").status_code == 200
        assert postmaster(living.postgres_root) == server
        # Stopping waits for nothing that is not there, also in the middle of a child's start.
        (worker,) = living.children("worker")
        kill(worker)
        wait_until(lambda: living.children("worker") not in ([], [worker]), 5.0, "the worker is not started again")
        assert living.stop() < STOP_S_MAX
        assert postgres_processes(living.postgres_root) == []
    finally:
        for one in pair:
            one.end()
