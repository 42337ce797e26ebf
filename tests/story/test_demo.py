"""`welltimed demo` from its command line to its JSON, with the real server, worker, stand-in and PostgreSQL."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from service.demo import data_dir

HOUSEHOLDS, WEEKS = 40, 2
VERSUS = ("vs_random", "vs_popular", "vs_usual", "vs_usual_six_hours", "vs_supervised")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def command(*options: str) -> list[str]:
    size = ("--households", str(HOUSEHOLDS), "--weeks", str(WEEKS))
    return [sys.executable, "-m", "service.cli", "demo", *size, "--headless", "--json", *options]


def run(place: Path, *options: str) -> dict[str, Any]:
    done = subprocess.run(
        command(*options), env={**os.environ, "TMPDIR": str(place)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.splitlines()
    assert len(lines) == 1  # nothing but the object
    found: dict[str, Any] = json.loads(lines[0])
    return found


def check_arithmetic(found: dict[str, Any]) -> None:
    household_weeks = HOUSEHOLDS * WEEKS
    assert (found["households"], found["weeks"]) == (HOUSEHOLDS, WEEKS)
    for name, policy in found["policies"].items():
        assert 0 <= policy["redeemed"] <= policy["pushes"] <= household_weeks, name
        assert 0 <= policy["opened"] <= policy["pushes"]
        assert policy["pushes"] + policy["no_sends"] == household_weeks
        assert policy["redeemed_per_push"] == pytest.approx(policy["redeemed"] / policy["pushes"])
        assert policy["redeemed_per_household_week"] == pytest.approx(policy["redeemed"] / household_weeks)
    engine = found["policies"]["engine"]
    assert [found[name] for name in ("pushes", "opened", "redeemed")] == [
        engine[name] for name in ("pushes", "opened", "redeemed")
    ]
    # A floor of 0.01 holds back one push in a hundred; everything else must have arrived, once.
    assert household_weeks - 8 <= found["pushes"] == found["accepted"] <= household_weeks
    assert found["pushes"] <= found["decisions"] <= household_weeks
    assert set(found["policies"]) == {"engine", "random", "popular", "usual", "usual_six_hours", "supervised"}
    assert found["events_per_s"] == pytest.approx(found["events"] / found["seconds"])
    assert set(found["second_half"]) == {*VERSUS, "share_of_oracle"}
    for versus in VERSUS:
        for outcome in ("redeemed", "opened"):
            ratio = found["second_half"][versus][outcome]
            assert set(ratio) == {"value", "low", "high"}
            if ratio["value"] is not None:
                assert ratio["low"] <= ratio["value"]


def check_moments(found: dict[str, Any]) -> None:
    moments = found["moments"]
    everyone = moments["everyone"]
    assert everyone["pushes"] == found["pushes"]
    assert everyone["opened_per_push"]["chosen"] == pytest.approx(found["opened"] / found["pushes"])
    assert all(0 < rate < 1 for rate in everyone["opened_per_push"].values())
    assert 0 <= moments["night_households"]["pushes"] <= found["pushes"]
    assert 0 <= moments["sent_at_night"] < 1
    assert sum(moments["sent_by_hour"]) == found["pushes"]


def test_a_run_adds_up_and_the_same_salt_gives_the_same(reachable_folder: Path) -> None:
    one, again = run(reachable_folder, "--salt", "x"), run(reachable_folder, "--salt", "x")
    check_arithmetic(one)
    check_moments(one)
    for found in (one, again):
        del found["seconds"], found["events_per_s"]
    assert one == again
    assert list(reachable_folder.glob(f"{data_dir.PREFIX}*")) == []


def test_a_run_killed_in_the_middle_starts_again_cleanly(reachable_folder: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(reachable_folder)}
    with subprocess.Popen(command(), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        log = _appears(reachable_folder, "server/postgres")
        time.sleep(4)  # somewhere in the middle of the replay
        killed.send_signal(signal.SIGKILL)
    left = log.parent.parent
    # Its server ends by itself when nobody holds its standard input, and only then is the directory free.
    deadline = time.monotonic() + 60
    while left.exists() and time.monotonic() < deadline:
        data_dir.remove_leftovers(reachable_folder)
        time.sleep(0.2)
    assert not left.exists()
    check_arithmetic(run(reachable_folder))


def _appears(place: Path, name: str) -> Path:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = list(place.glob(f"{data_dir.PREFIX}*/{name}"))
        if found:
            return found[0]
        time.sleep(0.1)
    raise AssertionError(f"{name} did not appear")
