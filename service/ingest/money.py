"""Money as people write it (1.50) and as we keep it (150 minor units): exact, never by way of a float."""

import re
from decimal import Decimal
from typing import Final

from schema.currency import decimals_of

_AMOUNT: Final = re.compile(r"([+-]?)([0-9]{1,15})(?:\.([0-9]{1,9}))?")
_THOUSANDS: Final = re.compile(r"[+-]?[0-9]{1,3}(?:([.,' \u00a0\u202f])[0-9]{3})(?:\1[0-9]{3})*(?:[.,][0-9]+)?")
_SIGN: Final = re.compile(r"[^\W\d_]|[$€£¥₩₹¢]")


class NotMoney(ValueError):
    """The text is not an amount; the message says why, as the end of a sentence that begins with the text."""


def read_decimal(text: str, *, comma_is_point: bool) -> Decimal:
    """A plain decimal number; with `comma_is_point` its decimal sign may also be a comma.

    Raises:
        NotMoney: it is anything else.
    """
    plain = text.replace(",", ".") if comma_is_point and text.count(",") == 1 and "." not in text else text
    match = _AMOUNT.fullmatch(plain)
    if match is None:
        raise NotMoney(_why_not(text))
    return Decimal(plain)


def _why_not(text: str) -> str:
    if _SIGN.search(text):
        return "is not a plain number: write it without letters and currency signs, as in 1.50"
    if re.fullmatch(r"[+-]?[0-9]+,[0-9]{1,2}", text):
        return f"has a decimal comma: in a file with commas between the columns write {text.replace(',', '.')}"
    if _THOUSANDS.fullmatch(text):
        return "has separators of thousands: write it without them, as in 1234.50"
    return "is not a number: write it as 1.50"


def to_minor(amount: Decimal, currency: str) -> int:
    """The amount in minor units of the currency.

    Raises:
        NotMoney: it is written with more decimals than the currency has, which is how 1.000 for a thousand is caught.
    """
    allowed = decimals_of(currency)
    written = -int(amount.as_tuple().exponent)
    if written > allowed:
        raise NotMoney(f"has {written} decimals, but {currency} has {allowed or 'none'}")
    return int(amount.scaleb(allowed))
