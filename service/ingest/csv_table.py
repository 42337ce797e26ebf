"""From the bytes of a CSV file to rows of cells, each with the physical line on which it begins."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

DELIMITERS: Final = ",;\t"

_BREAK: Final = re.compile(rb"\r\n?|\n")
_QUOTED: Final = re.compile(r' *+"([^"]*+(?:""[^"]*+)*+)("?) *+')
_BEFORE_QUOTE: Final = frozenset('" ')
_PLAIN: Final = {delimiter: re.compile(rf"[^{delimiter}\n]*+") for delimiter in DELIMITERS}
_UTF8_CHARACTER: Final = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_NOT_ASCII: Final = re.compile(rb"[\x80-\xff]")
_FOREIGN: Final = (
    (b"PK\x03\x04", "a workbook or an archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"\x1f\x8b", "compressed by gzip"),
    (b"\xff\xfe", "in UTF-16"),
    (b"\xfe\xff", "in UTF-16"),
)


class UnreadableFile(Exception):
    """The bytes are not CSV text; says why in words, and on which physical line (from 1)."""

    def __init__(self, line: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.line = line
        self.code = code
        self.detail = detail


class Row(NamedTuple):
    """The cells of one row, and the line on which each begins."""

    line: int
    cells: list[str]
    lines: list[int]


class BrokenRow(NamedTuple):
    """A row whose quotation marks do not pair: the line and place (from 0) of the cell, and what is wrong."""

    line: int
    place: int
    code: str
    detail: str


class _Broken(Exception):
    def __init__(self, row: BrokenRow) -> None:
        self.row = row


def decode(data: bytes) -> tuple[str, str]:
    """The text, its line breaks all LF, and the encoding found: "utf-8" or "windows-1252".

    Raises:
        UnreadableFile: it is in another encoding, is no text, or holds a NUL.
    """
    for mark, name in _FOREIGN:
        if data.startswith(mark):
            raise UnreadableFile(1, "not_csv", f"The file is {name}: save it as CSV in UTF-8.")
    text, encoding = _decoded(data)
    if "\0" in text:
        line = _line_at(data, data.index(b"\0"))
        raise UnreadableFile(line, "not_text", "The file holds a NUL byte: it is not text. Save it as CSV in UTF-8.")
    return text.replace("\r\n", "\n").replace("\r", "\n"), encoding


def _decoded(data: bytes) -> tuple[str, str]:
    try:
        return data.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError as error:
        if _is_mostly_utf8(data):
            raise _undecodable(data, error.start, "is not UTF-8, though other parts of the file are") from None
    try:
        return data.decode("cp1252"), "windows-1252"
    except UnicodeDecodeError as error:
        raise _undecodable(data, error.start, "is neither UTF-8 nor Windows-1252") from None


def _is_mostly_utf8(data: bytes) -> bool:
    # In Windows-1252 a letter with an accent seldom stands before a sign that would complete a character of UTF-8 (É”).
    complete = sum(len(character) for character in _UTF8_CHARACTER.findall(data))
    return 2 * complete > len(_NOT_ASCII.findall(data))


def _undecodable(data: bytes, position: int, reason: str) -> UnreadableFile:
    detail = f"The byte 0x{data[position]:02x} {reason}: save the file as CSV in UTF-8."
    return UnreadableFile(_line_at(data, position), "encoding", detail)


def _line_at(data: bytes, position: int) -> int:
    return 1 + len(_BREAK.findall(data, 0, position))


def delimiter_of(text: str) -> str:
    """What separates the columns: the one of comma, semicolon and tab that the first line with text has most of."""
    header = next((line for line in text.split("\n", 100) if line.strip()), "")
    return max(DELIMITERS, key=header.count)


def rows(text: str, delimiter: str) -> Iterator[Row | BrokenRow]:
    """Every row that is not blank. After a broken row reading goes on at the line below the cell that broke it."""
    position, line = 0, 1
    while position < len(text):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        row: Row | BrokenRow
        if text.find('"', position, end) < 0:
            cells = text[position:end].split(delimiter)
            row, position, next_line = Row(line, cells, [line] * len(cells)), end + 1, line + 1
        else:
            try:
                row, position, next_line = _quoted_row(text, position, line, delimiter)
            except _Broken as broken:
                row = broken.row
                position, next_line = _after_line(text, position, row.line - line), row.line + 1
        if isinstance(row, BrokenRow) or any(cell.strip() for cell in row.cells):
            yield row
        line = next_line


def _quoted_row(text: str, position: int, line: int, delimiter: str) -> tuple[Row, int, int]:
    row = Row(line, [], [])
    while True:
        cell, position = _cell(text, position, line, len(row.cells), delimiter)
        row.cells.append(cell)
        row.lines.append(line)
        line += cell.count("\n")
        if text[position : position + 1] != delimiter:
            return row, position + 1, line + 1
        position += 1


def _cell(text: str, position: int, line: int, place: int, delimiter: str) -> tuple[str, int]:
    quoted = _QUOTED.match(text, position) if text[position : position + 1] in _BEFORE_QUOTE else None
    if quoted is None:
        end = plain.end() if (plain := _PLAIN[delimiter].match(text, position)) else position
        return text[position:end], end
    if not quoted[2]:
        raise _Broken(BrokenRow(line, place, "quote_open", "The quotation mark that opens this cell is never closed."))
    if text[quoted.end() : quoted.end() + 1] not in {delimiter, "\n", ""}:
        detail = (
            'There is text after the closing quotation mark: a quotation mark inside of a cell is written twice ("").'
        )
        raise _Broken(BrokenRow(line, place, "quote_closed_early", detail))
    return quoted[1].replace('""', '"'), quoted.end()


def _after_line(text: str, position: int, lines_down: int) -> int:
    for _ in range(lines_down + 1):
        end = text.find("\n", position)
        if end < 0:
            return len(text)
        position = end + 1
    return position
