"""Money as text: exact minor units, and words for everything that is not an amount."""

from decimal import Decimal

import pytest

from service.ingest.money import NotMoney, read_decimal, to_minor


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("1.50", "USD", 150),
        ("1.5", "USD", 150),
        ("1", "USD", 100),
        ("0.29", "EUR", 29),  # by way of a float this is 28.999999999999996
        ("-0.05", "USD", -5),
        ("+2", "USD", 200),
        ("150", "JPY", 150),
        ("1.234", "KWD", 1234),
        ("9999999999.99", "USD", 999999999999),
    ],
)
def test_an_amount_becomes_exact_minor_units(text: str, currency: str, minor: int) -> None:
    assert to_minor(read_decimal(text, comma_is_point=False), currency) == minor


@pytest.mark.parametrize(
    ("text", "currency"), [("1.000", "USD"), ("1.505", "EUR"), ("100.00", "JPY"), ("1.2345", "KWD")]
)
def test_more_decimals_than_the_currency_has_are_refused(text: str, currency: str) -> None:
    with pytest.raises(NotMoney, match=f"decimals, but {currency} has"):
        to_minor(Decimal(text), currency)


def test_a_decimal_comma_counts_only_where_it_cannot_separate_columns() -> None:
    assert read_decimal("1,50", comma_is_point=True) == Decimal("1.50")
    with pytest.raises(NotMoney, match=r"has a decimal comma: .* write 1\.50"):
        read_decimal("1,50", comma_is_point=False)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("$1.50", "without letters and currency signs"),
        ("1.50 EUR", "without letters and currency signs"),
        ("1e3", "without letters and currency signs"),
        ("nan", "without letters and currency signs"),
        ("1,234.50", "separators of thousands"),
        ("1.234,50", "separators of thousands"),
        ("1 234", "separators of thousands"),
        ("1'234", "separators of thousands"),
        ("1.", "is not a number"),
        (".5", "is not a number"),
        ("--1", "is not a number"),
        ("1_000", "is not a number"),
        ("١٢", "is not a number"),
        ("9" * 40, "is not a number"),
    ],
)
def test_what_is_no_plain_number_is_told_in_words(text: str, why: str) -> None:
    with pytest.raises(NotMoney, match=why):
        read_decimal(text, comma_is_point=True)
