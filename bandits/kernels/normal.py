"""The standard normal distribution: exact in float64, and fast in float32 without a call into libm.

Scalar maths for other kernels to inline.
"""

import math
from typing import Final

import numpy as np

from bandits.kernels.compile import f64, kernel

f32 = np.float32
INVERSE_SQRT_2: Final = 0.7071067811865476
INVERSE_SQRT_2PI: Final = 0.3989422804014327


@kernel(f64(f64))
def pdf(x: float) -> float:
    """Density of N(0, 1) at x, float64."""
    return INVERSE_SQRT_2PI * math.exp(-0.5 * x * x)


@kernel(f64(f64))
def cdf(x: float) -> float:
    """Probability that N(0, 1) is at most x, float64; by erfc, so the lower tail keeps its relative precision."""
    return 0.5 * math.erfc(-x * INVERSE_SQRT_2)


@kernel(lanes=True)
def fast_exp(y: np.float32) -> np.float32:
    """exp(y) for y in [-18, 0] as (Taylor polynomial of y/64)**64, float32, relative error below 5e-5.

    Stock Numba has no vector exp, and one libm call keeps a whole loop scalar.
    """
    z = y * f32(0.015625)
    p = f32(1.0) + z * (
        f32(1.0) + z * (f32(0.5) + z * (f32(0.16666667) + z * (f32(0.041666668) + z * f32(0.008333334))))
    )
    p = p * p
    p = p * p
    p = p * p
    p = p * p
    p = p * p
    return p * p


@kernel(lanes=True)
def fast_pdf_cdf(x: np.float32) -> tuple[np.float32, np.float32]:
    """Density and distribution of N(0, 1) at x in float32, x cut to [-6, 6]; the cdf is good to 1e-6 absolute.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 26.2.17.
    """
    ax = min(abs(x), f32(12.0))
    density = f32(INVERSE_SQRT_2PI) * fast_exp(f32(-0.5) * ax * ax)
    t = f32(1.0) / (f32(1.0) + f32(0.2316419) * ax)
    polynomial = f32(1.781477937) + t * (f32(-1.821255978) + t * f32(1.330274429))
    tail = density * t * (f32(0.319381530) + t * (f32(-0.356563782) + t * polynomial))
    return density, tail if x < f32(0.0) else f32(1.0) - tail
