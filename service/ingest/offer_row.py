"""One row of a CSV file as an offer: every cell is read, then every rule is tried on what could be read."""

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from schema.offer import Creative, Offer
from schema.problem import FieldError
from service.ingest import money
from service.ingest.import_report import CellNote, note, shown
from service.ingest.offer_columns import COLUMN_OF, COLUMNS, MONEY, BadCell
from service.ingest.offer_rules import normalised, problems

_CREATIVE: Final = "/creative/"
_CURRENCY_UNLESS_GIVEN: Final = "USD"
# Stands for a cell that could not be read, so that the other cells of its row can be checked all the same.
_PLACEHOLDER: Final[dict[str, Any]] = {"/offer_id": "x", "/creative/title": "x", "/tags": ["x"]}


class Cell(NamedTuple):
    """The trimmed text of a cell and the line on which it begins."""

    text: str
    line: int


def read_row(
    cells: Mapping[str, Cell], missing: Collection[str], *, comma_is_point: bool
) -> tuple[Offer, list[CellNote]]:
    """The offer of a row's cells by column, and what is wrong with it; with any error the offer is not to be used.

    `missing` are required columns that the file does not have: that has been told once and is not told for each row.
    """
    values, notes = _read_cells(cells, comma_is_point=comma_is_point)
    notes += _to_minor(cells, values)
    offer = normalised(_offer(values))
    bad = {COLUMNS[name].pointer for name in {*missing, *(told.column for told in notes)}}
    notes += [_about_rule(error, cells, offer) for error in problems(offer, bad)]
    return offer, notes


def _read_cells(cells: Mapping[str, Cell], *, comma_is_point: bool) -> tuple[dict[str, Any], list[CellNote]]:
    values: dict[str, Any] = {}
    notes = []
    for name, cell in cells.items():
        column = COLUMNS[name]
        if not cell.text:
            if column.is_required:
                notes.append(note(cell.line, name, "required", f"{name} must not be empty"))
            continue
        try:
            values[column.pointer] = column.read(cell.text, comma_is_point)
        except BadCell as error:
            notes.append(_about_cell(name, cell, error))
    return values, notes


def _to_minor(cells: Mapping[str, Cell], values: dict[str, Any]) -> list[CellNote]:
    notes = []
    currency = values.get("/currency", _CURRENCY_UNLESS_GIVEN)
    for name in MONEY:
        pointer = COLUMNS[name].pointer
        if pointer not in values:
            continue
        try:
            values[pointer] = money.to_minor(values[pointer], currency)
        except money.NotMoney as error:
            del values[pointer]
            notes.append(_about_cell(name, cells[name], BadCell("too_many_decimals", str(error))))
    return notes


def _offer(values: Mapping[str, Any]) -> Offer:
    given = {**_PLACEHOLDER, **values}
    creative = {
        pointer.removeprefix(_CREATIVE): value for pointer, value in given.items() if pointer.startswith(_CREATIVE)
    }
    rest = {pointer[1:]: value for pointer, value in given.items() if not pointer.startswith(_CREATIVE)}
    return Offer(creative=Creative(**creative), **rest)


def _about_cell(name: str, cell: Cell, error: BadCell) -> CellNote:
    return note(cell.line, name, error.code, f'"{shown(cell.text)}" {error.rule}', cell.text)


def _about_rule(error: FieldError, cells: Mapping[str, Cell], offer: Offer) -> CellNote:
    """A rule names fields of the API (/price_minor, or /tags/2 for an item): a row has columns."""
    holder, _, last = error.pointer.rpartition("/")
    is_item = error.pointer not in COLUMN_OF
    name = COLUMN_OF[holder if is_item else error.pointer]
    cell = cells.get(name) or Cell("", next(iter(cells.values())).line)
    value = str(getattr(offer, name)[int(last)]) if is_item else cell.text
    detail = error.detail.replace(last, name, 1) if name in MONEY else error.detail
    return note(cell.line, name, error.code, f'{detail} (found "{shown(value)}")' if value else detail, value)
