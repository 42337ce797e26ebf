"""The generator's core and those of the processes that it loads."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from loadtest.affinity import apart, held

CORES = os.sched_getaffinity(0)


@pytest.fixture
def child() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.kill()


@pytest.mark.skipif(len(CORES) < 2, reason="one core")
def test_who_asks_and_who_answers_run_apart_and_afterwards_anywhere(child: int) -> None:
    with apart((child,)):
        ours, theirs = os.sched_getaffinity(0), os.sched_getaffinity(child)
    assert len(ours) == 1
    assert theirs == CORES - ours
    assert os.sched_getaffinity(0) == os.sched_getaffinity(child) == CORES


@pytest.mark.skipif(len(CORES) < 2, reason="one core")
def test_who_ends_meanwhile_is_no_failure(child: int) -> None:
    with apart((child,)):
        os.kill(child, 9)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert os.sched_getaffinity(0) == CORES


def test_without_anybody_nothing_is_held() -> None:
    with apart(()):
        assert os.sched_getaffinity(0) == CORES


def test_held_processes_are_let_go(child: int) -> None:
    with held((child,), {min(CORES)}):
        assert os.sched_getaffinity(child) == {min(CORES)}
    assert os.sched_getaffinity(child) == CORES
