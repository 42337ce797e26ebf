"""`welltimed bench plan` runs and tells what it says it tells; the figures themselves are for a quiet machine."""

import json

import pytest
from click.testing import CliRunner

from service.cli import main


@pytest.mark.slow
def test_the_benchmark_of_planning_runs() -> None:
    asked = CliRunner().invoke(main, ["bench", "plan", "--users", "2000", "--json"], catch_exceptions=False)
    told = json.loads(asked.stdout)
    assert told["users"] == 2000
    assert told["rows"] == 2000 - 2000 // 30  # the others have withdrawn consent
    assert set(told["parts"]) == {"copy_out", "kernels", "copy_in"}
    assert told["bare_seconds"] == pytest.approx(sum(told["parts"].values()), abs=0.02)
    assert told["ratio"] == pytest.approx(told["seconds"] / told["bare_seconds"], rel=0.2)
    assert min(told["seconds"], told["rss_mib"]) > 0
    assert "bench: 100% of the people, 1,934 rows" in asked.stderr
    assert told["draw_rows"] == told["rows"]
    assert set(told["draw_parts"]) == {"read", "kernel", "log", "outbox"}
    assert told["draw_bare_seconds"] == pytest.approx(sum(told["draw_parts"].values()), abs=0.03)
    assert min(told["draw_seconds"], told["draw_rss_mib"], told["draw_ratio"]) > 0
