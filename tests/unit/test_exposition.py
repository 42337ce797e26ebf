import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
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
print("counted", flush=True)
input()
"""


@contextlib.contextmanager
def a_process(metrics_dir: Path, count: int, version: int) -> Iterator[int]:
    """One that has counted, and lives as long as the context."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(metrics_dir)}
    command = [sys.executable, "-c", COUNTS.format(count=count, version=version)]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"counted\n"
        yield process.pid
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.wait(60) == 0


def test_who_has_ended_is_told_of_no_more_though_nobody_looked_after_it(tmp_path: Path) -> None:
    with a_process(tmp_path, 3, 7) as living:
        with a_process(tmp_path, 4, 8) as ended:
            assert f'worker="{ended}"' in exposition(tmp_path).decode()
        text = exposition(tmp_path).decode()
        assert f'worker="{ended}"' not in text
        assert f'worker="{living}"' in text
        assert {file.stem.rpartition("_")[2] for file in tmp_path.iterdir()} == {str(living)}


def test_any_process_tells_of_all_that_write_to_the_directory(tmp_path: Path) -> None:
    with a_process(tmp_path, 3, 7) as first, a_process(tmp_path, 4, 8) as second:
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
