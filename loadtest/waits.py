"""How long one waited, as quantiles: exact ones for the figures, an HdrHistogram for the plots and for other tools."""

import base64
from typing import Final

import msgspec
import numpy as np
from hdrh.histogram import HdrHistogram

from loadtest.arrivals import F64

_US_MAX: Final = 60_000_000
_DIGITS: Final = 3


class Waits(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds; null is a wait without end. `hdr` is the base64 text of an HdrHistogram (V2, zlib) in microseconds, without those."""

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    hdr: str


def waits_of(seconds: F64) -> Waits:
    """Of waits in seconds, infinite where no answer came; at least one."""
    p50, p90, p99, p999, longest = (1e3 * quantile(seconds, share) for share in (0.5, 0.9, 0.99, 0.999, 1.0))
    return Waits(
        count=len(seconds),
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        p999_ms=p999,
        max_ms=longest,
        hdr=_encoded(seconds[np.isfinite(seconds)]),
    )


def quantile(seconds: F64, share: float) -> float:
    """What `share` of them stay within, in seconds."""
    return float(np.quantile(seconds, share, method="higher"))


def _encoded(seconds: F64) -> str:
    histogram = HdrHistogram(1, _US_MAX, _DIGITS)
    values, counts = np.unique(np.clip((seconds * 1e6).astype(np.int64), 1, _US_MAX), return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        histogram.record_value(value, count)
    return str(histogram.encode().decode())


def curve(hdr: str, shares: list[float]) -> list[float]:
    """The waits, in milliseconds, that these shares of an encoded histogram stay within."""
    base64.b64decode(hdr, validate=True)  # the library tells of nothing that is wrong with it
    histogram = HdrHistogram.decode(hdr)
    found = histogram.get_percentile_to_value_dict([100 * share for share in shares])
    return [found[100 * share] / 1e3 for share in shares]
