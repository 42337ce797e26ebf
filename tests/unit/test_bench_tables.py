"""What the comparison writes into the page, and how it takes the time."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def script(name: str) -> Any:
    """A file of scripts/peers, which is no package of ours."""
    spec = importlib.util.spec_from_file_location(f"peers_{name}", ROOT / "scripts" / "peers" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tables, interleaved = script("tables"), script("interleaved")
PAGE = "# A\n\n<!-- bench:speed -->\nold\n<!-- end:speed -->\n\nafter\n"


def test_a_table_goes_between_its_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    text = tables.table(("", "µs"), [("ours", "1.0"), ("other", "2.0")])
    tables.write(page, "speed", text)
    assert page.read_text() == PAGE.replace("old", "|  | µs |\n| --- | --: |\n| ours | 1.0 |\n| other | 2.0 |")
    tables.write(page, "speed", "old\n")
    assert page.read_text() == PAGE
    with pytest.raises(ValueError, match="the markers of batch are missing"):
        tables.write(page, "batch", text)


def test_the_page_has_the_markers_of_every_part() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    for part in ("speed", "batch", "quality"):
        assert page.count(f"<!-- bench:{part} -->\n") == page.count(f"<!-- end:{part} -->") == 1


def test_all_take_turns_and_who_begins_changes() -> None:
    calls: list[str] = []
    timed = [interleaved.Timed(name, lambda name=name: calls.append(name), 2) for name in "abc"]
    times = interleaved.measure(timed, 3)
    assert "".join(calls) == "aaabbbccc" * 2 + "bbbcccaaa" + "cccaaabbb"
    assert times["a"].ratio == 1.0
    assert all(one.seconds > 0.0 for one in times.values())
