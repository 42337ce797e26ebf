"""docs/offers-csv.md: its example is right, and its table has every column."""

import re
from pathlib import Path

from schema.currency import THREE_DECIMALS, ZERO_DECIMALS
from schema.offer import OFFERS_MAX
from service.ingest.import_report import ERRORS_MAX
from service.ingest.offer_columns import COLUMNS
from service.ingest.offers_csv import FILE_BYTES_MAX, ROWS_MAX, read_offers
from service.store.tags import TAGS_MAX

PAGE = (Path(__file__).parents[2] / "docs" / "offers-csv.md").read_text()


def test_the_example_is_right() -> None:
    example = PAGE.split("```csv\n")[1].split("```")[0]
    file = read_offers(example.encode())
    assert file.errors.listed == file.warnings.listed == []
    assert [read.offer.discount_minor for read in file.offers] == [0, 100]


def test_every_column_and_limit_is_named() -> None:
    table = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", " ".join(table))) == set(COLUMNS)
    for limit in (ROWS_MAX, OFFERS_MAX, ERRORS_MAX, TAGS_MAX):
        assert f"{limit:,}" in PAGE
    assert f"{FILE_BYTES_MAX // 2**20} MB" in PAGE
    for currencies in (ZERO_DECIMALS, THREE_DECIMALS):
        assert " ".join(sorted(currencies)) in PAGE
