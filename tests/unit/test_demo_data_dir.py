"""The demo's data directory: fresh, gone at the end, and cleared after a run that was killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from service.demo import data_dir, server

_HOLDER = """
import sys, time
from pathlib import Path
from service.demo import data_dir
with data_dir.fresh(Path(sys.argv[1])) as made:
    print(made.path, flush=True)
    time.sleep(60)
"""


def test_it_is_gone_after_the_block_and_two_runs_do_not_meet(tmp_path: Path) -> None:
    with data_dir.fresh(tmp_path) as one, data_dir.fresh(tmp_path) as other:
        assert one.path != other.path
        assert one.path.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_removed_and_a_living_one_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        path = Path(holder.stdout.readline().strip())
        assert data_dir.remove_leftovers(tmp_path) == []
        assert path.is_dir()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert path.is_dir()
    assert data_dir.remove_leftovers(tmp_path) == [path]
    assert not path.exists()


def test_one_without_a_lock_is_removed_only_when_it_is_old(tmp_path: Path) -> None:
    young, old = tmp_path / f"{data_dir.PREFIX}young", tmp_path / f"{data_dir.PREFIX}old"
    for path in (young, old, tmp_path / "other"):
        path.mkdir()
    an_hour_ago = time.time() - 3600
    os.utime(old, (an_hour_ago, an_hour_ago))
    (tmp_path / f"{data_dir.PREFIX}link").symlink_to(tmp_path / "other")
    assert data_dir.remove_leftovers(tmp_path) == [old]
    assert (tmp_path / "other").is_dir()


def test_a_demo_never_meets_a_real_database_or_a_real_firebase_project() -> None:
    surroundings = {
        "WELLTIMED_DATABASE_URL": "postgresql://real/",
        "WELLTIMED_FIREBASE_CREDENTIALS": "/real.json",
        "WELLTIMED_POSTGRES_BIN_DIR": "/bin",
        "HOME": "/home/x",
    }
    found = server.environment("sk_key", surroundings)
    assert not {"WELLTIMED_DATABASE_URL", "WELLTIMED_FIREBASE_CREDENTIALS"} & found.keys()
    assert (found["WELLTIMED_BOOTSTRAP_KEY"], found["WELLTIMED_POSTGRES_BIN_DIR"], found["HOME"]) == (
        "sk_key",
        "/bin",
        "/home/x",
    )
