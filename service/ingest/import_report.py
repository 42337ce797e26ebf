"""What an import of offers found and did."""

from dataclasses import dataclass, field
from typing import Final

from schema.base import Kept
from schema.problem import FieldError, Problem

ERRORS_MAX: Final = 1_000
_SHOWN_CHARACTERS: Final = 60


class CellNote(Kept, frozen=True):
    """One thing to tell about a cell: its physical line (from 1), its column (empty: the whole line), and its text, made printable."""

    line: int
    column: str
    code: str
    detail: str
    value: str = ""


def note(line: int, column: str, code: str, detail: str, value: str = "") -> CellNote:
    """A note whose value is made printable."""
    return CellNote(line=line, column=column, code=code, detail=detail, value=shown(value))


@dataclass(slots=True)
class Notes:
    """Keeps the first ERRORS_MAX notes and counts all."""

    listed: list[CellNote] = field(default_factory=list)
    found: int = 0

    def add(self, *notes: CellNote) -> None:
        """Adds notes at the end."""
        self.found += len(notes)
        self.listed.extend(notes[: max(0, ERRORS_MAX - len(self.listed))])

    def by_line(self) -> list[CellNote]:
        """The notes kept, in the order of the file."""
        return sorted(self.listed, key=lambda kept: kept.line)


class ImportReport(Kept, frozen=True):
    """The outcome of an import. With any error nothing was written; a dry run writes nothing in any case.

    `rows` counts the offers read, `errors` lists at most ERRORS_MAX of the `errors_found`, `catalogue_version` is that after the import.
    """

    rows: int
    new: int
    changed: int
    unchanged: int
    errors: list[CellNote]
    errors_found: int
    warnings: list[CellNote]
    dry_run: bool
    written: bool
    catalogue_version: int


class ImportProblem(Problem, frozen=True, kw_only=True):
    """The problem document of a refused import, with its report."""

    report: ImportReport


def shown(text: str) -> str:
    """The text on one line of at most 60 characters, whatever cannot be seen written as an escape."""
    short = text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
    return "".join(character if character.isprintable() else _escaped(character) for character in short)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def pointers(report: ImportReport) -> list[FieldError]:
    """The errors as an RFC 9457 answer lists them, by the pointer /rows/{line}/{column}."""
    return [FieldError(pointer=_pointer(told), code=told.code, detail=told.detail) for told in report.errors]


def _pointer(told: CellNote) -> str:
    column = told.column.replace("~", "~0").replace("/", "~1")
    return f"/rows/{told.line}/{column}" if column else f"/rows/{told.line}"


def verdict(report: ImportReport) -> str:
    """One sentence for people: what came of the import."""
    if report.errors_found:
        listed = f" (the first {ERRORS_MAX} are listed)" if report.errors_found > ERRORS_MAX else ""
        return (
            f"Nothing was written: {_counted(report.errors_found, 'error')} in {_counted(report.rows, 'row')}{listed}."
        )
    done = "Would write" if report.dry_run else "Wrote"
    return f"{done} {report.new} new and {report.changed} changed offers; {report.unchanged} are unchanged."


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
