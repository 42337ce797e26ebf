"""A change in a kernel's callee drops the kernel's compiled form, and leaves unrelated ones alone."""

import os
import subprocess
import sys
from pathlib import Path

from bandits.kernels import cache
from bandits.kernels.cache import drop_stale


def test_only_what_depends_on_the_change_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    for name, imported in {"normal": "", "pmf": "normal", "slate": "pmf", "draw": ""}.items():
        source = tmp_path / f"{name}.py"
        source.write_text(f"from bandits.kernels.{imported} import x\n" if imported else "")
        index = tmp_path / "__pycache__" / f"{name}.f-1.py311.nbi"
        index.touch()
        os.utime(source, (100, 100))
        os.utime(index, (200, 200))
    os.utime(tmp_path / "pmf.py", (300, 300))
    drop_stale(tmp_path)
    kept = {path.name.partition(".")[0] for path in (tmp_path / "__pycache__").iterdir()}
    assert kept == {"normal", "draw"}


def test_kernels_import_each_other_by_module() -> None:
    """Only so is it seen what a kernel's compiled form depends on."""
    folder = Path(cache.__file__).parent
    assert [path.name for path in folder.glob("*.py") if "from bandits.kernels import" in path.read_text()] == []


def test_an_index_that_another_process_drops_first_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "pmf.py").touch()
    (tmp_path / "__pycache__" / "pmf.f-1.py311.nbi").symlink_to(tmp_path / "gone")
    drop_stale(tmp_path)


_KERNEL = """
from bandits.kernels.compile import f64, i64, kernel

@kernel(f64(i64))
def harmonic(count):
    total = 0.0
    for k in range(1, count):
        total += 1.0 / k
    return total
"""


def test_of_processes_that_start_at_once_one_compiles_and_the_others_read(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(_KERNEL)
    code = "import bandits.kernels.compile; print('ready', flush=True); input(); import slow; h = slow.harmonic; print(sum(h.stats.cache_misses.values()), h(4))"
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(cache.__file__).parents[2]}"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for one in started:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in started:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    said = [one.communicate(timeout=120)[0].split() for one in started]
    assert [float(value) for _, value in said] == [1 + 1 / 2 + 1 / 3] * 3
    assert sorted(int(misses) for misses, _ in said) == [0, 0, 1]


def test_a_folder_that_cannot_be_written_to_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").write_text("a file in the place of the folder")
    (tmp_path / "alone.py").write_text("def f(): ...")
    namespace: dict[str, object] = {}
    exec(compile("def f(): ...", str(tmp_path / "alone.py"), "exec"), namespace)
    with cache.compiled_once(namespace["f"]):  # type: ignore[arg-type]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["__pycache__", "alone.py"]
