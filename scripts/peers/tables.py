"""Markdown tables, written between the markers of a page."""

from collections.abc import Sequence
from pathlib import Path


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


def write(page: Path, name: str, text: str) -> None:
    """Puts the text between `<!-- bench:name -->` and `<!-- end:name -->`.

    Raises:
        ValueError: the page has no such markers.
    """
    begin, end = f"<!-- bench:{name} -->\n", f"<!-- end:{name} -->"
    whole = page.read_text("utf-8")
    if whole.count(begin) != 1 or whole.count(end) != 1:
        raise ValueError(f"{page}: the markers of {name} are missing")
    before, rest = whole.split(begin)
    page.write_text(before + begin + text.rstrip() + "\n" + end + rest.split(end)[1], "utf-8")
