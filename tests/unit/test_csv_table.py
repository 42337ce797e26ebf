"""Rows, cells and physical lines of a CSV file; encodings; quotation marks that do not pair."""

import pytest

from service.ingest.csv_table import BrokenRow, Row, UnreadableFile, decode, delimiter_of, rows


def test_lines_are_those_of_the_file_also_after_a_cell_of_several_lines() -> None:
    text = 'a,b,c\n1,"x\ny\n",z\n\n , ,\n2,q,r\n'
    assert list(rows(text, ",")) == [
        Row(1, ["a", "b", "c"], [1, 1, 1]),
        Row(2, ["1", "x\ny\n", "z"], [2, 2, 4]),
        Row(7, ["2", "q", "r"], [7, 7, 7]),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_break_is_one_line(end: str) -> None:
    text, _ = decode(f'a,b{end}"1{end}2",x{end}3,y'.encode())
    assert [row.line for row in rows(text, ",")] == [1, 2, 4]


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ('"a,b",c', ["a,b", "c"]),
        ('"say ""hi""",c', ['say "hi"', "c"]),
        ('"",c', ["", "c"]),
        (' "a" ,c', ["a", "c"]),
        ('12" pizza,c', ['12" pizza', "c"]),
        ('"""",', ['"', ""]),
    ],
)
def test_quotation_marks(line: str, cells: list[str]) -> None:
    assert list(rows(line, ",")) == [Row(1, cells, [1, 1])]


def test_after_a_quotation_mark_that_is_never_closed_the_other_lines_are_still_read() -> None:
    found = list(rows('a,b\n1,"open\n2,x\n"3",y\n4,z', ","))
    assert [(row.line, isinstance(row, BrokenRow)) for row in found] == [
        (1, False),
        (2, True),
        (3, False),
        (4, False),
        (5, False),
    ]
    broken = found[1]
    assert isinstance(broken, BrokenRow)
    assert (broken.place, broken.code) == (1, "quote_closed_early")


def test_a_quotation_mark_open_to_the_end_is_told_where_it_opens() -> None:
    found = list(rows('a,b\n1,"x\ny"\n2,"open\n3,y\n', ","))
    assert found[2] == BrokenRow(4, 1, "quote_open", "The quotation mark that opens this cell is never closed.")
    assert found[3] == Row(5, ["3", "y"], [5, 5])


def test_reading_a_file_of_stray_quotation_marks_takes_linear_time() -> None:
    many = 100_000
    assert sum(1 for _ in rows('"' + 'x,""\n' * many, ",")) == many
    assert sum(1 for _ in rows('"a\n' * many, ",")) == many


@pytest.mark.parametrize(
    ("header", "delimiter"), [("a,b", ","), ("a;b;c", ";"), ("a\tb", "\t"), ("a", ","), ("\n\na;b", ";")]
)
def test_the_header_tells_the_delimiter(header: str, delimiter: str) -> None:
    assert delimiter_of(header) == delimiter


def test_encodings() -> None:
    assert decode("\ufeffCafé €".encode()) == ("Café €", "utf-8")
    assert decode("Café €, “CAFÉ”".encode("cp1252")) == ("Café €, “CAFÉ”", "windows-1252")


@pytest.mark.parametrize(
    ("data", "line", "code"),
    [
        ("a\nCafé\nà la crème ".encode() + b"\xe9", 3, "encoding"),  # damaged UTF-8 is not Windows-1252
        (b"a\r\nb\r\n\x81", 3, "encoding"),
        (b"a\nb\0c", 2, "not_text"),
        (b"PK\x03\x04...", 1, "not_csv"),
        ("a,b".encode("utf-16"), 1, "not_csv"),
    ],
)
def test_what_is_no_csv_text_is_refused_with_its_line(data: bytes, line: int, code: str) -> None:
    with pytest.raises(UnreadableFile) as refused:
        decode(data)
    assert (refused.value.line, refused.value.code) == (line, code)
