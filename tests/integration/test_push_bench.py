"""`welltimed bench push` runs and tells what it says it tells; the figures themselves are for a quiet machine."""

import json

import pytest
from click.testing import CliRunner

from service.cli import main
from service.planning import push_bench


@pytest.mark.slow
def test_the_benchmark_of_sending_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_bench, "ROUNDS", 1)
    asked = CliRunner().invoke(main, ["bench", "push", "--messages", "500", "--json"], catch_exceptions=False)
    told = json.loads(asked.stdout)
    assert told["messages"] == 500
    assert told["ratio"] == pytest.approx(told["messages_per_cpu_s"] / told["reference_messages_per_cpu_s"], rel=0.01)
    assert told["ratio"] > 2
    assert min(told.values()) > 0
