"""Amounts and percentages as the people of a country write them, after the Unicode CLDR, for languages a shop may meet.

A language that is not here gets the ISO code and a decimal point (EUR 12.50): plain, and wrong nowhere.
"""

from typing import Final, NamedTuple

from schema.currency import decimals_of
from schema.wording import chain

_NARROW: Final = "\u202f"
_FIXED: Final = "\u00a0"


class _Style(NamedTuple):
    """Signs of decimals and thousands; an amount with its currency; a percentage."""

    decimal: str
    group: str
    money: str
    percent: str


_BEFORE: Final = "{sign}{amount}"
_BEFORE_SPACED: Final = "{sign}" + _FIXED + "{amount}"
_AFTER: Final = "{amount}" + _FIXED + "{sign}"
_PLAIN: Final = "{}%"
_SPACED: Final = "{}" + _FIXED + "%"

_UNKNOWN: Final = _Style(".", "", "{code}" + _FIXED + "{amount}", _PLAIN)
_POINT: Final = _Style(".", ",", _BEFORE, _PLAIN)
_COMMA: Final = _Style(",", ".", _AFTER, _SPACED)
_COMMA_PLAIN: Final = _Style(",", ".", _AFTER, _PLAIN)
_NORTH: Final = _Style(",", _FIXED, _AFTER, _SPACED)
_NORTH_PLAIN: Final = _Style(",", _FIXED, _AFTER, _PLAIN)

_STYLES: Final[dict[str, _Style]] = {
    "en": _POINT,
    "ja": _POINT,
    "ko": _POINT,
    "zh": _POINT,
    "th": _POINT,
    "de": _COMMA,
    "de-AT": _Style(",", ".", _BEFORE_SPACED, _SPACED),
    "de-CH": _Style(".", "\u2019", _BEFORE_SPACED, _PLAIN),
    "fr": _Style(",", _NARROW, _AFTER, "{}" + _NARROW + "%"),
    "es": _COMMA,
    "es-MX": _POINT,
    "es-US": _POINT,
    "it": _COMMA_PLAIN,
    "nl": _Style(",", ".", _BEFORE_SPACED, _PLAIN),
    "pt": _Style(",", ".", _BEFORE_SPACED, _PLAIN),
    "pt-PT": _Style(",", _FIXED, _AFTER, _PLAIN),
    "da": _COMMA,
    "sv": _NORTH,
    "nb": _NORTH,
    "no": _NORTH,
    "fi": _NORTH,
    "pl": _NORTH_PLAIN,
    "cs": _NORTH,
    "sk": _NORTH,
    "hu": _NORTH_PLAIN,
    "ro": _COMMA,
    "el": _COMMA_PLAIN,
    "tr": _Style(",", ".", _BEFORE, "%{}"),
    "uk": _NORTH_PLAIN,
}
_SIGNS: Final[dict[str, str]] = {
    "USD": "$",
    "EUR": "€",
    "GBP": "£",
    "JPY": "¥",
    "KRW": "₩",
    "PLN": "zł",
    "CZK": "Kč",
    "HUF": "Ft",
    "SEK": "kr",
    "NOK": "kr",
    "DKK": "kr.",
    "TRY": "₺",
    "UAH": "₴",
    "BRL": "R$",
    "THB": "฿",
    "AUD": "A$",
    "CAD": "CA$",
    "NZD": "NZ$",
    "MXN": "MX$",
}
_OWN_DOLLAR: Final[dict[str, str]] = {"AU": "AUD", "CA": "CAD", "NZ": "NZD", "MX": "MXN"}
"""Countries whose own money is just `$`; the United States' is US$ there."""


def money(minor: int, currency: str, locale: str | None) -> str:
    """An amount of minor units in the currency; without decimals when there are only zeros, as on a price tag."""
    style = _style(locale)
    decimals = decimals_of(currency)
    whole, rest = divmod(minor, 10**decimals)
    amount = f"{whole:,}".replace(",", style.group)
    if rest:
        amount += f"{style.decimal}{rest:0{decimals}}"
    return style.money.format(amount=amount, code=currency, sign=_sign(currency, locale))


def percent(share: float, locale: str | None) -> str:
    """A percentage with at most two decimals."""
    style = _style(locale)
    number = f"{share:.2f}".rstrip("0").rstrip(".").replace(".", style.decimal)
    return style.percent.format(number)


def _style(locale: str | None) -> _Style:
    return next((_STYLES[tag] for tag in chain(locale) if tag in _STYLES), _UNKNOWN)


def _sign(currency: str, locale: str | None) -> str:
    own = _OWN_DOLLAR.get(next(chain(locale), "").rpartition("-")[2])
    if own is not None and currency in {own, "USD"}:
        return "$" if currency == own else "US$"
    # A code stands apart from the number, also where a sign does not.
    return _SIGNS.get(currency, currency + _FIXED if _style(locale).money == _BEFORE else currency)
