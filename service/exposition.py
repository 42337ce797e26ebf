"""All metrics of the processes of one installation on this host, whichever of them is asked.

Behind one port each scrape meets another API worker, and the background worker serves no HTTP at all: under `serve` every
process keeps its numbers in files (Prometheus' multiprocess mode), and any of them reads all.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from prometheus_client import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from service.telemetry import REGISTRY

LABEL: Final = "worker"
"""The process id. Prometheus adds up what it wants to see together; a process that has died is no longer told of."""


class _Families:
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def exposition(metrics_dir: Path | None) -> bytes:
    """The text for Prometheus: of every process that writes to `metrics_dir`, else of this process alone. Who has ended is forgotten."""
    families = _of_this_process() if metrics_dir is None else _of_all(metrics_dir)
    collected: Any = _Families(families)
    return generate_latest(collected)


def _of_this_process() -> Iterable[Metric]:
    return [_labelled(family, str(os.getpid())) for family in REGISTRY.collect()]


def _of_all(metrics_dir: Path) -> Iterable[Metric]:
    files_of: dict[str, list[str]] = {}
    for file in sorted(metrics_dir.glob("*.db")):
        files_of.setdefault(file.stem.rpartition("_")[2], []).append(str(file))
    merged: dict[str, Metric] = {}
    for worker, files in files_of.items():
        if not _lives(int(worker)):  # one that was started alone has nobody who forgets it
            forget(metrics_dir, int(worker))
            continue
        for family in _of_files(files):
            kept = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            kept.samples += _labelled(family, worker).samples
    return merged.values()


def _lives(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another account's
        return True
    return True


def _of_files(files: list[str]) -> Iterable[Metric]:
    try:
        families: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call] # has no annotations
    except FileNotFoundError:  # the process ended just now
        return ()
    return families


def _labelled(family: Metric, worker: str) -> Metric:
    family.samples = [sample._replace(labels={**dict(sample.labels), LABEL: worker}) for sample in family.samples]
    return family


def forget(metrics_dir: Path, process_id: int) -> None:
    """Removes the numbers of a process that has ended."""
    for file in metrics_dir.glob(f"*_{process_id}.db"):
        file.unlink(missing_ok=True)
