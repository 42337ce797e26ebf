"""Imports against a real catalogue: all or nothing, upsert, limits, and what a missing column does."""

from datetime import UTC, datetime

import asyncpg
import msgspec
import pytest

from schema.offer import OFFERS_MAX, Creative, Offer
from service.ingest.import_report import ImportReport, pointers, verdict
from service.ingest.offers_import import import_offers
from service.store import offers, tags
from service.store.pool import prepare

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEADER = "offer_id,title,tags,price\n"


@pytest.fixture
async def prepared(connection: asyncpg.Connection) -> asyncpg.Connection:
    await prepare(connection)
    return connection


async def run(connection: asyncpg.Connection, text: str, *, dry_run: bool = False) -> ImportReport:
    return await import_offers(connection, text.encode(), dry_run=dry_run, now=NOW)


def counts(report: ImportReport) -> tuple[int, int, int, int, int]:
    return report.rows, report.new, report.changed, report.unchanged, report.catalogue_version


async def test_an_import_creates_and_replaces_and_leaves_the_rest_alone(prepared: asyncpg.Connection) -> None:
    dry = await run(prepared, HEADER + "a,A,x,1\nb,B,y,2\n", dry_run=True)
    assert (counts(dry), dry.written, dry.dry_run) == ((2, 2, 0, 0, 0), False, True)
    assert (await offers.count(prepared), await tags.known(prepared, ["x"])) == (0, {})
    first = await run(prepared, HEADER + "a,A,x,1\nb,B,y,2\n")
    assert (counts(first), first.written) == ((2, 2, 0, 0, 1), True)
    again = await run(prepared, HEADER + "a,A,x,1\nb,B,y,2\n")
    assert (counts(again), again.written) == ((2, 0, 0, 2, 1), False)
    third = await run(prepared, HEADER + "b,B,y,2.50\nc,C,z,3\n")
    assert counts(third) == (2, 1, 1, 0, 2)
    held = await offers.find(prepared, ["a", "b", "c"])
    assert {offer_id: offer.price_minor for offer_id, offer in held.items()} == {"a": 100, "b": 250, "c": 300}
    assert verdict(third) == "Wrote 1 new and 1 changed offers; 0 are unchanged."


async def test_with_one_error_nothing_is_written(prepared: asyncpg.Connection) -> None:
    await run(prepared, HEADER + "a,A,x,1\n")
    report = await run(prepared, HEADER + "a,A,x,7\nb,B,y,2\nc,C,,x\n")
    assert counts(report) == (3, 0, 0, 0, 1)
    assert [error.pointer for error in pointers(report)] == ["/rows/4/tags", "/rows/4/price"]
    assert verdict(report) == "Nothing was written: 2 errors in 3 rows."
    assert (await offers.find(prepared, ["a", "b"]))["a"].price_minor == 100


async def test_a_pointer_is_escaped_and_ends_with_the_line_when_no_column_is_wrong(
    prepared: asyncpg.Connection,
) -> None:
    report = await run(prepared, "offer_id,title,tags,a/b~c\na,A,x\n")
    assert [error.pointer for error in pointers(report)] == ["/rows/1/a~1b~0c", "/rows/2"]


async def test_protection_is_not_lost_by_a_missing_column_and_other_losses_are_told(
    prepared: asyncpg.Connection,
) -> None:
    held = Offer(
        offer_id="a",
        creative=Creative(title="A", body="text"),
        tags=["x"],
        min_age=18,
        is_sensitive=True,
        is_paused=True,
        redemptions_max=500,
    )
    await offers.put_all(prepared, [held], NOW)
    report = await run(prepared, HEADER + "a,A,x,1\n")
    assert [(warning.line, warning.column, warning.detail) for warning in report.warnings] == [
        (1, "body", "The file has no column body: 1 offer loses what it held (the first is a).")
    ]
    expected = msgspec.structs.replace(held, creative=Creative(title="A"), price_minor=100)
    assert await offers.find(prepared, ["a"]) == {"a": expected}
    await run(prepared, "offer_id,title,tags,price,min_age,sensitive,paused,redemptions_max\na,A,x,1,,,,\n")
    plain = msgspec.structs.replace(expected, min_age=0, is_sensitive=False, is_paused=False, redemptions_max=None)
    assert await offers.find(prepared, ["a"]) == {"a": plain}


@pytest.mark.parametrize("dry_run", [True, False])
async def test_limits_name_the_first_row_beyond_them(prepared: asyncpg.Connection, dry_run: bool) -> None:
    await run(prepared, HEADER + "old,O,x,1\n")
    rows = "".join(f"n{number},N,x,1\n" for number in range(OFFERS_MAX - 1))
    report = await run(prepared, HEADER + "old,O,x,2\n" + rows + "last,L,x,1\n", dry_run=dry_run)
    assert [(error.line, error.column, error.code, error.value) for error in report.errors] == [
        (OFFERS_MAX + 2, "offer_id", "catalogue_full", "last")
    ]
    assert counts(report)[1:] == (0, 0, 0, 1)


async def test_too_many_tags(prepared: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    await run(prepared, HEADER + "a,A,x;y,1\n")
    monkeypatch.setattr(tags, "TAGS_MAX", 4)
    report = await run(prepared, HEADER + "b,B,x;1;2,1\nc,C,y;2;3,1\n")
    assert [(error.line, error.column, error.code) for error in report.errors] == [(3, "tags", "tags_full")]
    assert (await run(prepared, HEADER + "b,B,x;1;2,1\n")).new == 1
