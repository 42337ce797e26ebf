"""Any offer survives the way through a CSV file; any bytes are answered with an offer or with errors by line."""

import csv
import io
from datetime import UTC
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schema.currency import decimals_of
from schema.offer import Creative, Offer
from service.ingest.offer_columns import COLUMNS
from service.ingest.offer_rules import normalised, problems
from service.ingest.offers_csv import read_offers
from service.store import tags

MINOR: Final = st.integers(0, 10**12)
WORDS: Final = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)
# What a list in a file can name: a semicolon parts two names, and an empty part is passed over.
NAMES: Final = WORDS.filter(lambda word: ";" not in word and tags.normalise(word) != "")
STORES: Final = st.lists(NAMES, max_size=4)


@st.composite
def offers(draw: st.DrawFn) -> Offer:
    kind: Literal["none", "percent", "amount", "gift"] = draw(st.sampled_from(["none", "percent", "amount", "gift"]))
    offer = Offer(
        offer_id=draw(st.from_regex(r"(?!\.{1,2}$)[A-Za-z0-9._:-]{1,64}", fullmatch=True)),
        creative=Creative(
            title=draw(WORDS),
            body=draw(st.text(max_size=100)),
            image_url=draw(st.sampled_from([None, "https://x.example/ä.png"])),
            deep_link=draw(st.sampled_from([None, "shop://deal?a=1;b=2", "https://x.example/,"])),
        ),
        tags=draw(st.lists(NAMES, min_size=1, max_size=8)),
        discount_type=kind,
        discount_percent=draw(st.integers(1, 10_000)) / 100 if kind == "percent" else 0.0,
        discount_minor=draw(st.integers(1, 10**12)) if kind == "amount" else 0,
        price_minor=draw(MINOR),
        margin_minor=draw(st.integers(-(10**12), 10**12)),
        currency=draw(st.sampled_from(["USD", "EUR", "JPY", "KWD"])),
        is_redeemable=draw(st.booleans()),
        code=draw(st.none() | WORDS),
        redemptions_max=draw(st.none() | st.integers(1, 10**9)),
        budget_minor=draw(st.none() | st.integers(1, 10**9)),
        starts_at=draw(st.none() | st.datetimes(timezones=st.just(UTC))),
        ends_at=draw(st.none() | st.datetimes(timezones=st.just(UTC))),
        store_ids=draw(STORES),
        exclude_store_ids=draw(STORES),
        channels=draw(st.sampled_from([["push"], ["in_app"], ["in_app", "push"]])),
        min_age=draw(st.integers(0, 120)),
        is_sensitive=draw(st.booleans()),
        is_paused=draw(st.booleans()),
    )
    return normalised(offer)


def amount(minor: int, currency: str) -> str:
    return format(Decimal(minor).scaleb(-decimals_of(currency)), "f")


def as_cell(offer: Offer, pointer: str) -> str:
    *holder, name = pointer[1:].split("/")
    value = getattr(offer.creative if holder else offer, name)
    if name.endswith("_minor") and value is not None:
        return amount(value, offer.currency)
    if isinstance(value, list):
        return ";".join(value)
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return "" if value is None else str(value)


def as_file(offer: Offer, delimiter: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(COLUMNS)
    writer.writerow([as_cell(offer, column.pointer) for column in COLUMNS.values()])
    return text.getvalue().encode()


@given(offers(), st.sampled_from([",", ";", "\t"]))
def test_an_offer_is_the_same_after_a_file(offer: Offer, delimiter: str) -> None:
    broken = {error.pointer for error in problems(offer)}
    file = read_offers(as_file(offer, delimiter))
    if broken:
        assert file.errors.found >= 1
        assert file.offers == []
    else:
        assert [read.offer for read in file.offers] == [offer], file.errors.listed
        assert (
            msgspec.convert(msgspec.to_builtins(offer), Offer) == offer
        )  # our rules let nothing through that the schema refuses


@given(st.binary(max_size=300))
def test_any_bytes_are_answered(data: bytes) -> None:
    check_answer(data)


CELLS: Final = st.text(max_size=12) | st.sampled_from(
    ["", '"', '""', "1,5", "1.50", "2026-01-01T00:00:00Z", "99999", "-", "nan", "push;"]
)


@given(st.lists(st.lists(CELLS, max_size=len(COLUMNS) + 1).map(",".join), max_size=5))
def test_any_cells_are_answered(lines: list[str]) -> None:
    check_answer("\n".join([",".join(COLUMNS), *lines]).encode(errors="surrogatepass"))


@given(st.lists(st.sampled_from(list(COLUMNS)), unique=True), st.data())
def test_any_cell_in_any_column_is_answered(names: list[str], data: Any) -> None:
    cells = {"offer_id": "a", "title": "T", "tags": "t"} | {name: data.draw(CELLS) for name in names}
    text = io.StringIO()
    csv.writer(text).writerows([cells.keys(), cells.values()])
    check_answer(text.getvalue().encode(errors="surrogatepass"))


def check_answer(data: bytes) -> None:
    file = read_offers(data)
    last_line = 1 + sum(data.count(end) for end in (b"\n", b"\r"))
    assert all(1 <= note.line <= last_line and note.detail and note.value.isprintable() for note in file.errors.listed)
    assert file.errors.found or len(file.offers) == file.rows
    for read in file.offers:
        assert msgspec.convert(msgspec.to_builtins(read.offer), Offer) == read.offer


@given(st.text())
def test_the_spelling_of_a_tag_is_stable(tag: str) -> None:
    once = tags.normalise(tag)
    assert tags.normalise(once) == once
