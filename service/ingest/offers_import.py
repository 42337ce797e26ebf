"""Imports a CSV file of offers: all of it or nothing, in one new version of the catalogue."""

import asyncio
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from schema.offer import OFFERS_MAX, Creative, Offer
from service.ingest.import_report import CellNote, ImportReport, note
from service.ingest.offer_columns import COLUMNS
from service.ingest.offers_csv import OffersFile, ReadOffer, read_offers
from service.store import offers, tags

# A file without these columns leaves them as they are: what protects people, or money, is not lost by leaving out a column.
_KEPT: Final = {
    "min_age": "min_age",
    "sensitive": "is_sensitive",
    "paused": "is_paused",
    "redemptions_max": "redemptions_max",
    "budget": "budget_minor",
}
_BLANK: Final = Offer(offer_id="x", creative=Creative(title="x"), tags=["x"])


async def import_offers(connection: Any, data: bytes, *, dry_run: bool, now: datetime) -> ImportReport:
    """Creates or replaces the offers of the file by their offer_id; offers that it does not name are left alone.

    With any error nothing is written, and the report lists every error found. A dry run checks the same and writes nothing.
    """
    file = await asyncio.to_thread(read_offers, data)
    if file.errors.found:
        return _report(file, dry_run=dry_run, catalogue_version=await offers.version(connection))
    async with connection.transaction():
        if not dry_run:
            await offers.lock(connection)
        return await _apply(connection, file, dry_run=dry_run, now=now)


async def _apply(connection: Any, file: OffersFile, *, dry_run: bool, now: datetime) -> ImportReport:
    before = await offers.find(connection, [read.offer.offer_id for read in file.offers])
    kept = [name for name in _KEPT if name in file.absent]
    wanted = [_with_kept(read.offer, before.get(read.offer.offer_id), kept) for read in file.offers]
    comparison = await offers.compare(connection, wanted)
    file.warnings.add(*_resets(file, comparison))
    file.errors.add(*await _beyond_limits(connection, file, comparison))
    if file.errors.found or dry_run:
        return _report(file, comparison, dry_run=dry_run, catalogue_version=comparison.version)
    written = await offers.put_all(connection, wanted, now)
    return _report(file, written, dry_run=False, catalogue_version=written.version)


def _report(
    file: OffersFile, comparison: offers.Comparison | None = None, *, dry_run: bool, catalogue_version: int
) -> ImportReport:
    done = None if file.errors.found else comparison
    return ImportReport(
        rows=file.rows,
        new=len(done.new) if done else 0,
        changed=len(done.changed) if done else 0,
        unchanged=len(done.unchanged) if done else 0,
        errors=file.errors.by_line(),
        errors_found=file.errors.found,
        warnings=file.warnings.by_line(),
        dry_run=dry_run,
        written=bool(done and not dry_run and (done.new or done.changed)),
        catalogue_version=catalogue_version,
    )


def _with_kept(offer: Offer, before: Offer | None, columns: Collection[str]) -> Offer:
    if before is None:
        return offer
    # No column can hold the words of other languages.
    return msgspec.structs.replace(
        offer, localised=before.localised, **{_KEPT[name]: getattr(before, _KEPT[name]) for name in columns}
    )


def _resets(file: OffersFile, comparison: offers.Comparison) -> Iterator[CellNote]:
    """Columns that are left out, and by that take something from offers that had it."""
    for name in sorted(file.absent - _KEPT.keys()):
        pointer = COLUMNS[name].pointer
        blank = _field(_BLANK, pointer)
        losing = [o.offer_id for o in comparison.changed if _field(comparison.before[o.offer_id], pointer) != blank]
        if losing:
            offers_lose = "1 offer loses" if len(losing) == 1 else f"{len(losing)} offers lose"
            detail = f"The file has no column {name}: {offers_lose} what it held (the first is {losing[0]})."
            yield note(file.header_line, name, "column_resets", detail)


def _field(offer: Offer, pointer: str) -> Any:
    *holder, name = pointer[1:].split("/")
    return getattr(offer.creative if holder else offer, name)


async def _beyond_limits(connection: Any, file: OffersFile, comparison: offers.Comparison) -> list[CellNote]:
    rows = {read.offer.offer_id: read for read in file.offers}
    room = max(0, OFFERS_MAX - await offers.count(connection))
    notes = [_too_many(rows[offer.offer_id], room) for offer in comparison.new[room : room + 1]]
    named = {tag for offer in comparison.new + comparison.changed for tag in offer.tags}
    unknown = named - (await tags.known(connection, named)).keys()
    if len(unknown) > await tags.room(connection):
        notes.append(_too_many_tags(rows, unknown, await tags.room(connection)))
    return notes


def _too_many(first: ReadOffer, room: int) -> CellNote:
    cell = first.cells["offer_id"]
    detail = f"The catalogue holds at most {OFFERS_MAX} offers, and has room for {room} new ones: this is one too many."
    return note(cell.line, "offer_id", "catalogue_full", detail, cell.text)


def _too_many_tags(rows: Mapping[str, ReadOffer], unknown: Collection[str], room: int) -> CellNote:
    seen: set[str] = set()
    for read in rows.values():
        seen.update(tag for tag in read.offer.tags if tag in unknown)
        if len(seen) > room:
            break
    cell = read.cells["tags"]
    detail = f"There are at most {tags.TAGS_MAX} different tags, and room for {room} new ones: from here on they are too many."
    return note(cell.line, "tags", "tags_full", detail, cell.text)
