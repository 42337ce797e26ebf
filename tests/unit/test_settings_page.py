"""docs/settings.md tells of every setting in the words of `Settings`, and of nothing else."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from service import settings

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "settings.md"


def rows() -> Iterator[str]:
    """One for each field: its variable, its default, the docstring below it."""
    module = ast.parse(Path(settings.__file__).read_text())
    (body,) = [node.body for node in module.body if isinstance(node, ast.ClassDef) and node.name == "Settings"]
    for place, node in enumerate(body):
        if isinstance(node, ast.AnnAssign):
            assert isinstance(node.target, ast.Name)
            told = body[place + 1]
            assert isinstance(told, ast.Expr), f"{node.target.id} has no docstring"
            words = " ".join(ast.literal_eval(told.value).split()).replace("|", "\\|")
            default = "" if node.value is None else ast.literal_eval(node.value)
            shown = "" if default in {None, ""} else f"`{int(default) if isinstance(default, bool) else default}`"
            yield f"| `{settings.PREFIX}{node.target.id.upper()}` | {shown} | {words} |"


def test_the_page_tells_of_every_setting_as_the_program_does() -> None:
    told = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert told == list(rows())
