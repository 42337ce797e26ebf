"""Symmetric matrices kept as their upper triangle, row after row: (0,0) (0,1) ... (0,d-1) (1,1) ...; d (d + 1) / 2 numbers."""

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import f32_in, f64, f64_in, f64_in_2d, f64_out, f64_out_2d, kernel, void

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@kernel(void(f64_out, f32_in, f64))
def add_outer(packed: F64, x: F32, weight: float) -> None:
    """Add weight * x x' in place. packed: (d (d + 1) / 2,) float64; x: (d,) float32."""
    d = x.shape[0]
    first = 0
    for i in range(d):
        scaled = weight * x[i]
        if scaled != 0.0:  # rows of crosses are often sparse
            row = packed[first : first + d - i]
            tail = x[i:]
            for j in range(d - i):
                row[j] += scaled * tail[j]
        first += d - i


@kernel(void(f64_in_2d, f64_out))
def pack(full: F64, packed: F64) -> None:
    """Write the upper triangle of full (d, d) into packed (d (d + 1) / 2,); the lower one is not read."""
    c = 0
    for i in range(full.shape[0]):
        for j in range(i, full.shape[0]):
            packed[c] = full[i, j]
            c += 1


@kernel(void(f64_in, f64_out_2d))
def unpack(packed: F64, full: F64) -> None:
    """Write both triangles of full (d, d) from packed (d (d + 1) / 2,)."""
    c = 0
    for i in range(full.shape[0]):
        for j in range(i, full.shape[0]):
            full[i, j] = packed[c]
            full[j, i] = packed[c]
            c += 1
