"""The scripts of CI: what they run is there, and the nightly one runs all of it and tells by its exit code whether something failed."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
SCRIPTS: Final = [".ci/run", ".ci/nightly"]
STEPS: Final = ["setup", "fuzz", "test", "faults"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_is_run_is_there(name: str) -> None:
    text = (ROOT / name).read_text()
    assert os.access(ROOT / name, os.X_OK)
    assert "set -euo pipefail" in text
    assert ". .ci/packages\n" in text
    named = set(re.findall(r"\./scripts/\w+", text))
    assert {"./scripts/setup", "./scripts/test"} <= named
    for script in named:
        assert os.access(ROOT / script, os.X_OK), script


@pytest.mark.parametrize("failing", ["", "fuzz", "test", "faults"])
def test_every_night_all_of_it_is_run(tmp_path: Path, failing: str) -> None:
    (tmp_path / ".ci").mkdir()
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / ".ci" / "nightly", tmp_path / ".ci")
    (tmp_path / ".ci" / "packages").touch()
    for step in STEPS:
        script = tmp_path / "scripts" / step
        told = f'echo "{step} $* long=$WELLTIMED_TEST_LONG require=$WELLTIMED_TEST_REQUIRE ci=$CI" >> ran'
        script.write_text(f"#!/bin/sh\n{told}\nexit {1 if step == failing else 0}\n")
        script.chmod(0o755)
    done = subprocess.run(
        [tmp_path / ".ci" / "nightly"],
        env=os.environ | {"CI": "true"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == (1 if failing else 0), done.stderr
    assert done.stdout.count("FAILED") == (2 if failing else 0), done.stdout
    ran = (tmp_path / "ran").read_text().splitlines()
    assert [line.split()[0] for line in ran] == STEPS
    assert "fuzz --minutes 30" in ran[1]
    assert "long=1 require=all ci=" in ran[2]
    assert ran[2].endswith("ci=")
