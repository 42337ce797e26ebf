"""Reads the canonical CSV file of offers: its header, then every row, each error told by line and column."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from schema.offer import Offer
from service.ingest import csv_table
from service.ingest.csv_table import BrokenRow, Row, UnreadableFile
from service.ingest.import_report import CellNote, Notes, note, shown
from service.ingest.offer_columns import COLUMNS
from service.ingest.offer_row import Cell, read_row

FILE_BYTES_MAX: Final = 16 * 2**20
ROWS_MAX: Final = 50_000
COLUMNS_MAX: Final = 200

_SIGNS: Final = {",": "a comma", ";": "a semicolon", "\t": "a tab"}


class ReadOffer(NamedTuple):
    """An offer without fault, and the cells it was read from, by column."""

    offer: Offer
    cells: dict[str, Cell]


@dataclass(slots=True)
class OffersFile:
    """What a file holds: the offers of the rows without error, and the columns it does not have."""

    offers: list[ReadOffer] = field(default_factory=list)
    rows: int = 0
    header_line: int = 1
    absent: frozenset[str] = frozenset()
    errors: Notes = field(default_factory=Notes)
    warnings: Notes = field(default_factory=Notes)


def read_offers(data: bytes) -> OffersFile:
    """Reads a file of at most FILE_BYTES_MAX. Pure, but seconds long for a big one: run it beside the event loop."""
    file = OffersFile()
    if len(data) > FILE_BYTES_MAX:
        detail = f"The file has {len(data)} bytes; at most {FILE_BYTES_MAX} are allowed: split it."
        file.errors.add(note(1, "", "file_too_large", detail))
        return file
    try:
        text, encoding = csv_table.decode(data)
    except UnreadableFile as error:
        file.errors.add(note(error.line, "", error.code, error.detail))
        return file
    if encoding != "utf-8":
        detail = (
            "The file is not UTF-8 and was read as Windows-1252: look whether accents and currency signs are right."
        )
        file.warnings.add(note(1, "", "encoding", detail))
    _Reader(file, csv_table.delimiter_of(text)).read(text)
    return file


class _Reader:
    """Fills an OffersFile row by row."""

    def __init__(self, file: OffersFile, delimiter: str) -> None:
        self._file = file
        self._delimiter = delimiter
        self._header: list[str | None] = []
        self._unnamed: set[int] = set()
        self._missing: list[str] = []
        self._first_lines: dict[str, int] = {}

    def _error(self, line: int, column: str, code: str, detail: str, value: str = "") -> None:
        self._file.errors.add(note(line, column, code, detail, value))

    def read(self, text: str) -> None:
        rows = csv_table.rows(text, self._delimiter)
        header = next(rows, None)
        if header is None:
            self._error(1, "", "empty_file", "The file is empty: its first line must name the columns.")
        elif isinstance(header, BrokenRow):
            self._error(header.line, "", header.code, header.detail)
        elif len(header.cells) > COLUMNS_MAX:
            detail = f"The header names {len(header.cells)} columns; at most {COLUMNS_MAX} are read."
            self._error(header.line, "", "too_many_columns", detail)
        else:
            self._read_header(header)
            self._read_rows(rows)

    def _read_header(self, header: Row) -> None:
        for place, (cell, line) in enumerate(zip(header.cells, header.lines, strict=True)):
            name = cell.strip().lower()
            is_new = name in COLUMNS and name not in self._header
            self._header.append(name if is_new else None)
            if not name:
                self._unnamed.add(place)
            elif not is_new:
                self._error(line, shown(name), *_about_column(name), cell.strip())
        self._file.header_line = header.line
        self._file.absent = frozenset(COLUMNS.keys() - set(self._header))
        self._missing = [name for name, column in COLUMNS.items() if column.is_required and name in self._file.absent]
        for name in self._missing:
            self._error(header.line, name, "missing_column", f"The column {name} is missing.")

    def _read_rows(self, rows: Iterator[Row | BrokenRow]) -> None:
        for row in rows:
            if self._file.rows == ROWS_MAX:
                detail = f"The file has more than {ROWS_MAX} rows: split it. From here on nothing was checked."
                self._error(row.line, "", "too_many_rows", detail)
                return
            self._file.rows += 1
            if isinstance(row, BrokenRow):
                name = self._header[row.place] if row.place < len(self._header) else None
                self._error(row.line, name or "", row.code, row.detail)
            elif self._fits_header(row):
                self._read_row(row)
        if not self._file.rows:
            self._file.warnings.add(note(self._file.header_line, "", "no_rows", "The file has no offers."))

    def _fits_header(self, row: Row) -> bool:
        expected, given = len(self._header), len(row.cells)
        if given < expected:
            detail = f"The row has {given} cells, but the header names {expected} columns."
            self._error(row.line, "", "too_few_cells", detail)
            return False
        surplus = next((place for place in range(expected, given) if row.cells[place].strip()), None)
        if surplus is None:
            return True
        sign = _SIGNS[self._delimiter]
        detail = f"The row has {given} cells, but the header names {expected} columns: put a text that holds {sign} in quotation marks."
        self._error(row.line, "", "too_many_cells", detail, row.cells[surplus])
        return False

    def _read_row(self, row: Row) -> None:
        cells = {
            name: Cell(text.strip(), line)
            for name, text, line in zip(self._header, row.cells, row.lines, strict=False)
            if name is not None
        }
        self._look_at_unnamed(row)
        offer, notes = read_row(cells, self._missing, comma_is_point=self._delimiter != ",")
        notes += self._seen_before(cells)
        self._file.errors.add(*notes)
        if not notes:
            self._file.offers.append(ReadOffer(offer, cells))
            self._file.warnings.add(*_doubts(offer, cells))

    def _look_at_unnamed(self, row: Row) -> None:
        for place in sorted(self._unnamed):
            if row.cells[place].strip():
                self._unnamed.discard(place)
                detail = f"Column {place + 1} has no name in the header."
                self._error(row.lines[place], "", "unnamed_column", detail, row.cells[place])

    def _seen_before(self, cells: dict[str, Cell]) -> Iterator[CellNote]:
        cell = cells.get("offer_id")
        if cell is not None and cell.text:
            first = self._first_lines.setdefault(cell.text, cell.line)
            if first != cell.line:
                detail = f'"{shown(cell.text)}" already stands on line {first}.'
                yield note(cell.line, "offer_id", "duplicate_offer_id", detail, cell.text)


def _doubts(offer: Offer, cells: dict[str, Cell]) -> Iterator[CellNote]:
    if 0 < offer.discount_percent < 1:  # a spreadsheet keeps 20 % as 0.2
        cell = cells["discount_percent"]
        detail = f'"{shown(cell.text)}" was read as less than one percent: write 20 for twenty percent.'
        yield note(cell.line, "discount_percent", "small_percent", detail, cell.text)


def _about_column(name: str) -> tuple[str, str]:
    if name in COLUMNS:
        return "duplicate_column", f"The column {name} stands here a second time."
    near = difflib.get_close_matches(name[:64], COLUMNS, 1)
    hint = f"did you mean {near[0]}?" if near else f"the columns are {', '.join(COLUMNS)}."
    return "unknown_column", f'There is no column "{shown(name)}": {hint}'
