"""`welltimed bench plan` runs and tells what it says it tells; the figures themselves are for a quiet machine."""

import json

import pytest
from click.testing import CliRunner

from service.cli import main

PARTS = ("copy_out_seconds", "kernels_seconds", "copy_in_seconds")


@pytest.mark.slow
def test_the_benchmark_of_planning_runs() -> None:
    asked = CliRunner().invoke(main, ["bench", "plan", "--users", "2000", "--json"], catch_exceptions=False)
    told = json.loads(asked.stdout)
    assert told["users"] == 2000
    assert told["rows"] == 2000 - 2000 // 30  # the others have withdrawn consent
    assert told["bare_seconds"] == pytest.approx(sum(told[part] for part in PARTS), abs=0.02)
    assert min(told.values()) > 0
    assert "planning" in asked.stderr
