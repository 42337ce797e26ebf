"""Currencies by ISO 4217, as far as amounts in minor units need them."""

from typing import Final

ZERO_DECIMALS: Final = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"}
)
THREE_DECIMALS: Final = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})


def decimals_of(currency: str) -> int:
    """Decimals of the minor unit: 0, 2 or 3; unknown codes have 2."""
    return 0 if currency in ZERO_DECIMALS else 3 if currency in THREE_DECIMALS else 2
