"""The columns of the canonical CSV file of offers: what each is called, and how the text of its cells is read."""

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from service.ingest.money import NotMoney, read_decimal

SEPARATOR: Final = ";"
_TRUE: Final = frozenset({"true", "yes", "1"})
_FALSE: Final = frozenset({"false", "no", "0"})
_DISCOUNTS: Final = ("none", "percent", "amount", "gift")
_CHANNELS: Final = ("push", "in_app")
_INSTANT: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?))?(?: ?(Z|z|[+-]\d{2}:?\d{2}))?", re.ASCII
)
_EXCEL_SERIAL: Final = re.compile(r"[1-9][0-9]{4}([.,][0-9]+)?")
_EXCEL_EPOCH: Final = date(1899, 12, 30)
_WHOLE: Final = re.compile(r"[0-9]{1,9}")


class BadCell(Exception):
    """The text of a cell cannot be read; `rule` ends a sentence that begins with the text."""

    def __init__(self, code: str, rule: str) -> None:
        super().__init__(rule)
        self.code = code
        self.rule = rule


class Column(NamedTuple):
    """How a cell is read: `read(text, comma_is_point)` of a text that is not empty, and the field of the API it fills."""

    pointer: str
    read: Callable[[str, bool], Any]
    is_required: bool = False


def _as_text(text: str, _: bool) -> str:
    return text


def _as_list(text: str, _: bool) -> list[str]:
    return [part.strip() for part in text.split(SEPARATOR) if part.strip()]


def _as_channels(text: str, _: bool) -> list[str]:
    named = [part.lower() for part in _as_list(text, _)]
    if not set(named) <= set(_CHANNELS):
        raise BadCell("unknown_value", "is not a list of channels: write push, in_app or push;in_app")
    return named


def _as_discount(text: str, _: bool) -> str:
    if text.lower() not in _DISCOUNTS:
        raise BadCell("unknown_value", "is not a kind of discount: write none, percent, amount or gift")
    return text.lower()


def _as_currency(text: str, _: bool) -> str:
    return text.upper()


def _as_amount(text: str, comma_is_point: bool) -> Decimal:
    try:
        return read_decimal(text, comma_is_point=comma_is_point)
    except NotMoney as error:
        raise BadCell("not_a_number", str(error)) from None


def _as_percent(text: str, comma_is_point: bool) -> float:
    return float(_as_amount(text.removesuffix("%").rstrip(), comma_is_point))


def _as_whole(text: str, _: bool) -> int:
    if not _WHOLE.fullmatch(text):
        raise BadCell("not_a_number", "is not a whole number: write it in digits, as in 18")
    return int(text)


def _as_bool(text: str, _: bool) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise BadCell("unknown_value", "is neither true nor false: write true or false")


def _as_instant(text: str, _: bool) -> datetime:
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise _no_instant(text)
    day, time, offset = match.groups()
    if time is None:
        raise BadCell(
            "time_missing", f"has no time and offset: write {day}T00:00:00Z, or with your own offset (+01:00)"
        )
    if offset is None:
        raise BadCell("offset_missing", f"has no offset: write {day}T{time}Z for UTC, or with your own offset (+01:00)")
    try:
        return datetime.fromisoformat(f"{day}T{time}{offset.upper()}")
    except ValueError:
        raise BadCell("not_an_instant", "names a day, time or offset that does not exist") from None


def _no_instant(text: str) -> BadCell:
    if _EXCEL_SERIAL.fullmatch(text):
        day = _EXCEL_EPOCH + timedelta(days=int(text[:5]))
        rule = f"is a date as Excel counts days ({day}): make the column text and write {day}T00:00:00Z"
        return BadCell("excel_date", rule)
    return BadCell("not_an_instant", "is not a time: write it as 2026-12-01T08:00:00Z")


COLUMNS: Final[dict[str, Column]] = {
    "offer_id": Column("/offer_id", _as_text, is_required=True),
    "title": Column("/creative/title", _as_text, is_required=True),
    "body": Column("/creative/body", _as_text),
    "tags": Column("/tags", _as_list, is_required=True),
    "discount_type": Column("/discount_type", _as_discount),
    "discount_percent": Column("/discount_percent", _as_percent),
    "discount_amount": Column("/discount_minor", _as_amount),
    "price": Column("/price_minor", _as_amount),
    "margin": Column("/margin_minor", _as_amount),
    "currency": Column("/currency", _as_currency),
    "code": Column("/code", _as_text),
    "redemptions_max": Column("/redemptions_max", _as_whole),
    "budget": Column("/budget_minor", _as_amount),
    "starts_at": Column("/starts_at", _as_instant),
    "ends_at": Column("/ends_at", _as_instant),
    "store_ids": Column("/store_ids", _as_list),
    "exclude_store_ids": Column("/exclude_store_ids", _as_list),
    "channels": Column("/channels", _as_channels),
    "image_url": Column("/creative/image_url", _as_text),
    "deep_link": Column("/creative/deep_link", _as_text),
    "min_age": Column("/min_age", _as_whole),
    "sensitive": Column("/is_sensitive", _as_bool),
    "redeemable": Column("/is_redeemable", _as_bool),
    "paused": Column("/is_paused", _as_bool),
}

MONEY: Final = ("price", "discount_amount", "margin", "budget")
COLUMN_OF: Final = {column.pointer: name for name, column in COLUMNS.items()}
