"""`./scripts/soak --short`: two days of traffic on a hastened clock, over two midnights, judged from outside."""

import json
import subprocess
import sys

import pytest

from tests.story.world import REPOSITORY, environment


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_days_go_by_and_nothing_grows_or_is_lost_and_old_days_go() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "loadtest.soak", "--short", "--json"],
        capture_output=True,
        check=False,
        cwd=REPOSITORY,
        env=environment(),
        timeout=400,
    )
    assert done.returncode in {0, 1}, done.stderr.decode()[-3000:]
    report = json.loads(done.stdout)
    assert [check for check in report["checks"] if not check["holds"]] == []
    assert done.returncode == 0
    assert report["events"] >= 40_000
    assert report["days"] >= 2.2
    assert all(report[name] for name in ("decisions", "sales", "edits", "repeated"))
    assert report["pushes"]['welltimed_pushes_total{outcome="accepted"}'] > 0
    dropped = {name.rpartition("_")[0] for name in report["books"]["days_dropped"]}
    assert {"events", "decisions"} <= dropped
    assert report["books"]["told"] == report["books"]["kept"]
