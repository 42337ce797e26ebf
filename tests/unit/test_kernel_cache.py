"""A change in a kernel's callee drops the kernel's compiled form, and leaves unrelated ones alone."""

import os
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
