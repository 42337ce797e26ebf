"""Logs: every line JSON, whoever speaks; nothing of people, keys, tokens or rows in them."""

import json
import subprocess
import sys
from typing import Any

import pytest

from service import logs

SPEAKERS = """
import asyncio, logging, os, sys, threading, warnings
from service import logs, telemetry
logs.configure("info")
log = telemetry.logger("test")
log.info("ours", applied=["0001_a"], path=os.sep)
log.debug("not told")
for name in ("uvicorn.error", "apscheduler.executors.default", "asyncio", "firebase_admin", "aiosmtplib", "litestar"):
    logging.getLogger(name).warning("%s speaks of ada@example.com", name)
    logging.getLogger(name).info("not told")
warnings.warn("something is old")
try:
    raise ValueError("sk_0123456789abcdef is no key\\nDETAIL:  Failing row contains (7, secret words,\\nmore).")
except ValueError:
    log.exception("it failed", work="plan")
    logging.getLogger("asyncio").exception("Task exception was never retrieved")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
async def forgotten():
    raise RuntimeError("nobody waits")
async def main():
    task = asyncio.create_task(forgotten())
    await asyncio.sleep(0)
    del task
asyncio.run(main())
log.info("long", text="x" * 100_000 + chr(233), error=object())
raise SystemError("the end of postgresql://me:hidden@db/x")
"""


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    done = subprocess.run([sys.executable, "-c", SPEAKERS], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert all(len(line) < 4096 for line in done.stderr.splitlines())
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_every_line_is_json_with_a_time_a_level_and_who_speaks(lines: list[dict[str, Any]]) -> None:
    for line in lines:
        assert line["timestamp"].endswith("Z")
        assert line["level"] in {"info", "warning", "error", "critical"}
        assert line["event"]
        assert ("area" in line) != ("logger" in line)
    said = [line["event"] for line in lines]
    assert said[0] == "ours"
    assert {line["logger"] for line in lines if "logger" in line} >= {
        "uvicorn.error",
        "asyncio",
        "aiosmtplib",
        "py.warnings",
    }
    assert said[-1] == "the process ended by an exception"
    assert "a thread ended by an exception" in said
    assert sum("never retrieved" in one for one in said) == 2
    assert "not told" not in said
    assert "ZeroDivisionError" in next(line["exception"] for line in lines if line["event"].startswith("a thread"))


def test_nothing_is_told_that_must_not_be(lines: list[dict[str, Any]]) -> None:
    text = json.dumps(lines)
    for secret in ("ada@example", "sk_0123", "secret words", "more).", "hidden", "me:"):
        assert secret not in text
    failed = next(line for line in lines if line["event"] == "it failed")
    assert failed["work"] == "plan"
    assert "ValueError: sk_[…] is no key\nDETAIL: […]" in failed["exception"]
    assert "[address]" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mail to ada.l+x@mail.example.co.uk now", "mail to [address] now"),
        ("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.abc-_123", "Bearer [token]"),
        ("token " + "a" * 22 + ":" + "APA91b" + "x" * 134, "token [token]"),
        ("key pk_live_0123456789", "key pk_[…]"),
        ("postgresql://welltimed@/welltimed?host=/tmp", "postgresql://***@/welltimed?host=/tmp"),
        ("DETAIL:  Key (x)=(ada) exists.\nHINT:  try again", "DETAIL: […]\nHINT:  try again"),
        ("decision 019a-b2, 12:30:59, path a/b:c", "decision 019a-b2, 12:30:59, path a/b:c"),
    ],
)
def test_what_is_hidden(text: str, shown: str) -> None:
    assert logs.hidden(text) == shown


def test_fields_within_fields_are_hidden_and_many_fields_end() -> None:
    line = json.loads(logs.line_of({"event": "e", "more": {"to": ["ada@example.com"]}}))
    assert line == {"event": "e", "more": {"to": ["[address]"]}}
    assert len(json.loads(logs.line_of({f"field_{n}": "y" * 50 for n in range(200)}))) == 200
