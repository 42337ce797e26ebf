"""The canonical CSV file: what is read, and the exact words for what cannot be."""

from datetime import UTC, datetime

import pytest

from schema.offer import Creative, Offer
from service.ingest.import_report import ERRORS_MAX
from service.ingest.offer_columns import COLUMNS
from service.ingest.offers_csv import ROWS_MAX, OffersFile, read_offers

HEADER = "offer_id,title,tags"


def told(file: OffersFile) -> list[tuple[int, str, str]]:
    return [(note.line, note.column, note.detail) for note in file.errors.by_line()]


def test_every_column_is_read() -> None:
    file = read_offers(
        b"\xef\xbb\xbfOffer_ID;TITLE ;body;tags;discount_type;discount_percent;discount_amount;price;margin;currency;code;starts_at;"
        b"ends_at;store_ids;exclude_store_ids;channels;image_url;deep_link;min_age;sensitive;redeemable;paused;redemptions_max;budget\r\n"
        b'a;Tea;"Hot\r\n""tea""";"Hot; tea;hot";Percent;12,5 %;;1,50;-0.10;eur;T1;2026-01-01 09:00+01:00;2026-02-01T00:00:00Z;'
        b'"1;2";3;Push;https://x.example/a.png;shop://tea;18;YES;0;TRUE;500;99,50\r\n'
    )
    assert told(file) == []
    assert [read.offer for read in file.offers] == [
        Offer(
            offer_id="a",
            creative=Creative(
                title="Tea", body='Hot\n"tea"', image_url="https://x.example/a.png", deep_link="shop://tea"
            ),
            tags=["hot", "tea"],
            discount_type="percent",
            discount_percent=12.5,
            price_minor=150,
            margin_minor=-10,
            currency="EUR",
            is_redeemable=False,
            code="T1",
            redemptions_max=500,
            budget_minor=9950,
            starts_at=datetime(2026, 1, 1, 8, tzinfo=UTC),
            ends_at=datetime(2026, 2, 1, tzinfo=UTC),
            store_ids=["1", "2"],
            exclude_store_ids=["3"],
            channels=["push"],
            min_age=18,
            is_sensitive=True,
            is_paused=True,
        )
    ]


@pytest.mark.parametrize(
    ("column", "cell", "detail"),
    [
        ("offer_id", "", "offer_id must not be empty"),
        ("offer_id", "a b", 'offer_id has 1 to 64 letters, digits and the signs . _ : - and nothing else (found "a b")'),
        ("title", " ", "title must not be empty"),
        ("title", "x" * 121, f'title has 121 characters; at most 120 are allowed (found "{"x" * 59}…")'),
        ("title", "a\x01b", 'title holds a control character (found "a\\x01b")'),
        ("tags", "", "tags must not be empty"),
        ("tags", ";", 'tags names at least one tag (found ";")'),
        ("tags", "1;2;3;4;5;6;7;8;9", 'tags names 9 tags; at most 8 are allowed (found "1;2;3;4;5;6;7;8;9")'),
        ("discount_type", "bogo", '"bogo" is not a kind of discount: write none, percent, amount or gift'),
        ("discount_percent", "ten", '"ten" is not a plain number: write it without letters and currency signs, as in 1.50'),
        ("discount_percent", "101", 'discount_percent lies between 0 and 100 (found "101")'),
        ("discount_percent", "10", "discount_type is 'none', so no percent may be given (found \"10\")"),
        ("price", '"1,50"', '"1,50" has a decimal comma: in a file with commas between the columns write 1.50'),
        ("price", "1.505", '"1.505" has 3 decimals, but USD has 2'),
        ("price", "-1", 'price must not be negative (found "-1")'),
        ("price", "999999999999", 'price is too large (found "999999999999")'),
        ("discount_amount", "1", "discount_type is 'none', so no amount may be given (found \"1\")"),
        ("margin", "€1", '"€1" is not a plain number: write it without letters and currency signs, as in 1.50'),
        ("currency", "US", 'currency is a code of three capital letters, as in USD (found "US")'),
        ("starts_at", "45992", '"45992" is a date as Excel counts days (2025-12-01): make the column text and write 2025-12-01T00:00:00Z'),
        ("starts_at", "2026-01-01", '"2026-01-01" has no time and offset: write 2026-01-01T00:00:00Z, or with your own offset (+01:00)'),
        ("starts_at", "2026-01-01 09:00", '"2026-01-01 09:00" has no offset: write 2026-01-01T09:00Z for UTC, or with your own offset (+01:00)'),
        ("starts_at", "2026-02-30T00:00:00Z", '"2026-02-30T00:00:00Z" names a day, time or offset that does not exist'),
        ("ends_at", "01/02/2026", '"01/02/2026" is not a time: write it as 2026-12-01T08:00:00Z'),
        ("ends_at", "0001-01-01T00:00:00+01:00", 'ends_at lies outside of the years 1 to 9999 in UTC (found "0001-01-01T00:00:00+01:00")'),
        ("channels", "sms", '"sms" is not a list of channels: write push, in_app or push;in_app'),
        ("image_url", "http://x.example", 'image_url must begin with https:// and a host (found "http://x.example")'),
        ("deep_link", "javascript:x", 'deep_link must begin with https:// or the scheme of an app (myapp://) (found "javascript:x")'),
        ("min_age", "18.0", '"18.0" is not a whole number: write it in digits, as in 18'),
        ("min_age", "200", 'min_age lies between 0 and 120 (found "200")'),
        ("sensitive", "WAHR", '"WAHR" is neither true nor false: write true or false'),
    ],
)  # fmt: skip
def test_the_words_for_a_bad_cell(column: str, cell: str, detail: str) -> None:
    cells = {"offer_id": "a", "title": "Tea", "tags": "tea"} | {column: cell}
    file = read_offers(f"{','.join(cells)}\n{','.join(cells.values())}\n".encode())
    assert told(file) == [(2, column, detail)]
    assert file.offers == []


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("", [(1, "", "The file is empty: its first line must name the columns.")]),
        ("\n\n", [(1, "", "The file is empty: its first line must name the columns.")]),
        (f"{HEADER},titel\na,T,x,y", [(1, "titel", 'There is no column "titel": did you mean title?')]),
        (f"{HEADER},Title\na,T,x,y", [(1, "title", "The column title stands here a second time.")]),
        ("offer_id,title\na,T\nb,", [(1, "tags", "The column tags is missing."), (3, "title", "title must not be empty")]),
        (f"{HEADER},,\na,T,x,,", []),
        ("," * 200, [(1, "", "The file is empty: its first line must name the columns.")]),
        ("a," * 200, [(1, "", "The header names 201 columns; at most 200 are read.")]),
        (f"{HEADER},\na,T,x,y\nb,T,x,z", [(2, "", "Column 4 has no name in the header.")]),
        (f"{HEADER}\na,T,x,,", []),
        (
            f"{HEADER}\na,T,x,y\nb,T,x",
            [(2, "", "The row has 4 cells, but the header names 3 columns: put a text that holds a comma in quotation marks.")],
        ),
        (f"{HEADER}\na,T\nb,T,x", [(2, "", "The row has 2 cells, but the header names 3 columns.")]),
        (f'{HEADER}\na,"T\nT",x\n\na,T,x', [(5, "offer_id", '"a" already stands on line 2.')]),
        (f'{HEADER}\na,"T\nT\nb,T,x', [(2, "title", "The quotation mark that opens this cell is never closed."),
                                       (3, "", "The row has 1 cells, but the header names 3 columns.")]),
    ],
)  # fmt: skip
def test_the_words_for_a_bad_shape(text: str, errors: list[tuple[int, str, str]]) -> None:
    assert told(read_offers(text.encode())) == errors


def test_the_line_is_that_of_the_cell_also_in_a_row_of_several_lines() -> None:
    file = read_offers(b'offer_id,body,min_age,title,tags\na,"1\r\n2\r\n3",x,T,t\r\nb,,y,T,t\r\n')
    assert [(note.line, note.column, note.value) for note in file.errors.by_line()] == [
        (4, "min_age", "x"),
        (5, "min_age", "y"),
    ]


def test_every_error_of_a_row_is_told() -> None:
    file = read_offers(
        b"offer_id,title,tags,price,min_age,starts_at,ends_at\na b,,x,1x,y,2026-01-02T00:00Z,2026-01-01T00:00Z\n"
    )
    assert [note.column for note in file.errors.by_line()] == ["title", "price", "min_age", "offer_id", "ends_at"]


def test_an_offer_too_long_for_a_push_is_told_by_column() -> None:
    image, link = "https://a.example/" + "x" * 2000, "shop://" + "y" * 2041
    file = read_offers(f"offer_id,title,tags,image_url,deep_link\na,Tea,tea,{image},{link}\n".encode())
    assert file.offers == []
    ((line, column, detail),) = told(file)
    assert (line, column) == (2, "deep_link")
    assert detail.startswith(
        "deep_link is too long for a push, whose title, body, image_url and deep_link have 4096 bytes"
    )


def test_errors_beyond_the_limit_are_counted() -> None:
    file = read_offers((HEADER + "\n" + "!,T,x\n" * (ERRORS_MAX + 7)).encode())
    assert len(file.errors.listed) == ERRORS_MAX
    assert file.errors.found == 2 * (ERRORS_MAX + 7) - 1  # all but the first are named twice as well


def test_too_many_rows() -> None:
    file = read_offers((HEADER + "\n" + "".join(f"{n},T,x\n" for n in range(ROWS_MAX + 5))).encode())
    assert told(file) == [
        (ROWS_MAX + 2, "", "The file has more than 50000 rows: split it. From here on nothing was checked.")
    ]


def test_warnings() -> None:
    file = read_offers("offer_id,title,tags,discount_type,discount_percent\na,Café,x,percent,0.2".encode("cp1252"))
    assert [(note.line, note.code) for note in file.warnings.by_line()] == [(1, "encoding"), (2, "small_percent")]
    assert file.offers[0].offer.creative.title == "Café"
    assert [note.code for note in read_offers(HEADER.encode()).warnings.listed] == ["no_rows"]


def test_every_field_of_an_offer_has_a_column_but_its_other_languages() -> None:
    fields = {f"/{name}" for name in Offer.__struct_fields__ if name not in {"creative", "localised"}}
    fields |= {f"/creative/{name}" for name in Creative.__struct_fields__}
    assert {column.pointer for column in COLUMNS.values()} == fields
