"""Rules of the house that no linter knows, each a test that names what breaks it."""

import ast
import importlib
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
OURS: Final = ("service", "bandits", "push", "schema")
MODULES: Final = sorted(path for name in (*OURS, "loadtest") for path in (ROOT / name).rglob("*.py"))

ENVIRONMENT_IN: Final = {
    "service/settings.py",  # the one place that reads settings
    "service/supervisor.py",  # what its children get
    "service/demo/server.py",  # as above
    "service/store/account.py",  # what PostgreSQL's programs get
    "loadtest/server.py",  # what the server under load gets
    "loadtest/faults/installation.py",  # what the server that faults are done to gets
}
TASKS_IN: Final = {
    "push/fcm/access_token.py",  # one renewal for all who wait for it
    "push/planning/plan_pipeline.py",  # reading, drawing and writing, in one TaskGroup
    "service/batching.py",  # the one loop behind events and decisions
    "service/hot_request.py",  # in uvicorn's own set of tasks, which it waits for and cancels
    "service/resources.py",  # the watch for snapshots
    "service/store/access_cache.py",  # a reading of keys ahead of time
    "service/drawer.py",  # its two rounds, in one TaskGroup
    "service/worker.py",  # the background worker's loops, in one TaskGroup
}
NUMBA_IN: Final = {
    "bandits/kernels/compile.py": {"numba", "types", "njit", "from_dtype"},
    "bandits/kernels/featurize.py": {"types"},
    "bandits/kernels/lanes.py": {"types"},
    "bandits/kernels/quads.py": {"types"},
    "bandits/kernels/tastes.py": {"numba", "types", "from_dtype"},
    "bandits/kernels/vector.py": {"numba", "config", "types", "intrinsic", "models", "register_model"},
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(), str(path)))


def calls(path: Path, *names: str) -> bool:
    return any(isinstance(node, ast.Attribute | ast.Name) and _last_name(node) in names for node in nodes(path))


def _last_name(node: ast.Attribute | ast.Name) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id


@pytest.mark.parametrize("name", OURS)
def test_our_import_names_are_ours(name: str) -> None:
    """A package called `schema` exists on the index, and would be imported in our place."""
    owners = set(importlib.metadata.packages_distributions().get(name, []))
    assert owners <= {"welltimed"}
    found = importlib.import_module(name)
    assert found.__file__ == str(ROOT / name / "__init__.py")


def test_lock_has_a_hash_for_everything_and_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(
        r"https?:|^\s*-|--(extra-)?index|--find-links|--trusted-host| @ |git\+",
        text.replace("    --hash=sha256:", ""),
        re.MULTILINE,
    )
    requirements = [block for block in re.split(r"\n(?=[a-z0-9])", text) if not block.startswith("#")]
    assert len(requirements) > 30
    for requirement in requirements:
        assert re.match(r"[a-z0-9][a-z0-9._-]*(\[[a-z,]+\])?==\S+", requirement), requirement[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", requirement), requirement[:80]


def test_there_is_one_lock_file() -> None:
    assert sorted(path.name for path in ROOT.glob("*.lock")) == ["requirements.lock"]


def test_packages_are_empty_and_all_of_them_are_installed() -> None:
    """Import the module: what a package imports for others makes cycles."""
    found = {path for path in MODULES if path.name == "__init__.py"}
    assert [name_of(path) for path in sorted(found) if path.read_text()] == []
    folders = {path.parent for path in MODULES}
    assert folders == {path.parent for path in found}
    listed = re.search(r"packages = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL)
    assert listed is not None
    packages = {
        name_of(folder).replace("/", ".") for folder in folders if ROOT / "loadtest" not in (folder, *folder.parents)
    }
    assert packages == set(re.findall(r'"([^"]+)"', listed[1]))


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        name_of(path)
        for path in MODULES
        if path.name != "__init__.py" and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_the_environment_is_read_in_one_place() -> None:
    assert {
        name_of(path) for path in MODULES if calls(path, "environ", "environb", "getenv", "putenv")
    } <= ENVIRONMENT_IN


def test_tasks_live_in_few_places() -> None:
    """A task nobody waits for dies unseen: each of these is closed by who opened it."""
    loops = {
        name_of(path) for path in MODULES if calls(path, "create_task") and not path.is_relative_to(ROOT / "loadtest")
    }
    assert loops <= TASKS_IN


def test_numba_is_told_how_to_compile_in_one_place() -> None:
    for path in MODULES:
        used = set(_of_numba(path))
        assert used <= NUMBA_IN.get(name_of(path), set()), name_of(path)


def _of_numba(path: Path) -> Iterator[str]:
    """What a module imports of numba, and the attributes it takes of the package itself."""
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "numba":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "numba")
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "numba":
            yield node.attr
