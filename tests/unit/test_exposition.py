import os
import subprocess
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest

from service import telemetry
from service.exposition import exposition, forget

COUNTS = """
from service import telemetry
telemetry.FOLDED.inc({count})
telemetry.SNAPSHOT_VERSION.set({version})
telemetry.DECISION_SECONDS.observe(0.004)
"""


def a_process(metrics_dir: Path, count: int, version: int) -> int:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(metrics_dir)}
    process = subprocess.Popen([sys.executable, "-c", COUNTS.format(count=count, version=version)], env=environment)
    assert process.wait(60) == 0
    return process.pid


def test_any_process_tells_of_all_that_write_to_the_directory(tmp_path: Path) -> None:
    first, second = a_process(tmp_path, 3, 7), a_process(tmp_path, 4, 8)
    text = exposition(tmp_path).decode()
    assert text.count("# TYPE welltimed_folded_entries_total counter") == 1
    for worker, count, version in ((first, 3, 7), (second, 4, 8)):
        assert f'welltimed_folded_entries_total{{worker="{worker}"}} {count}.0' in text
        assert f'welltimed_snapshot_version{{worker="{worker}"}} {version}.0' in text
        assert f'welltimed_decision_seconds_bucket{{le="0.005",worker="{worker}"}} 1.0' in text
        assert f'welltimed_decision_seconds_bucket{{le="0.0025",worker="{worker}"}} 0.0' in text
    forget(tmp_path, first)
    text = exposition(tmp_path).decode()
    assert f'worker="{first}"' not in text
    assert f'worker="{second}"' in text


def test_many_that_are_observed_at_once_are_each_observed() -> None:
    amounts, told = [0.0005, 0.001, 0.0010001, 0.3, 7.0, 7.0], []
    for at_once in (False, True):
        registry = CollectorRegistry()
        histogram = Histogram("some_seconds", "Some.", buckets=(0.001, 0.01, 1.0), registry=registry)
        if at_once:
            telemetry.observe_all(histogram, amounts)
        else:
            for amount in amounts:
                histogram.observe(amount)
        told.append([line for line in generate_latest(registry).decode().splitlines() if "_created" not in line])
    assert told[0] == told[1]
    assert 'some_seconds_bucket{le="0.001"} 2.0' in told[0]


def test_a_process_without_the_directory_tells_of_itself() -> None:
    assert f'welltimed_folded_entries_total{{worker="{os.getpid()}"}}' in exposition(None).decode()
