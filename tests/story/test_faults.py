"""`./scripts/faults --short`: kill -9 of API, worker, drawer and PostgreSQL under load, judged from outside."""

import json
import subprocess
import sys

import pytest

from tests.story.world import REPOSITORY, environment


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_nothing_acknowledged_is_lost_or_counted_twice_and_nothing_is_given_beyond_its_limit() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "loadtest.faults", "--short", "--json"],
        capture_output=True,
        check=False,
        cwd=REPOSITORY,
        env=environment(),
        timeout=380,
    )
    assert done.returncode == 0, done.stdout.decode()[-3000:] + done.stderr.decode()[-3000:]
    report = json.loads(done.stdout)
    assert report["kills"] == 5
    found = {name: count for name, count in report["verdict"].items() if name != "examples"}
    names = ("acked_and_lost", "double_counted", "caps_broken", "over_redeemed", "strange", "recovered_late")
    assert found == dict.fromkeys(names, 0)
    told = report["acknowledged"]
    assert all(
        told[name] for name in ("events", "decisions", "feedback", "redemptions", "pushes_received", "asked_again")
    )
    assert set(report["whole_again_s"]) == {"all", "api", "worker", "drawer", "postmaster", "postgres"}
