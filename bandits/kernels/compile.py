"""The one place where Numba is told how to compile, and the array types its signatures are written with.

Signatures are given, so a kernel is compiled when its file is imported and read from the cache ever after; a caller
with the wrong dtype or layout gets a TypeError instead of a silent second compilation. Inputs are declared read-only,
which accepts writable arrays too; snapshots that came out of a buffer are read-only.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import numba
import numpy as np
from numba import types

from bandits.kernels.cache import compiled_once, drop_stale

P = ParamSpec("P")
R = TypeVar("R")

f32: Final = types.float32
f64: Final = types.float64
i64: Final = types.int64
u64: Final = types.uint64
boolean: Final = types.boolean
void: Final = types.void

f32_in: Final = types.Array(types.float32, 1, "C", readonly=True)
f32_in_2d: Final = types.Array(types.float32, 2, "C", readonly=True)
f64_in: Final = types.Array(types.float64, 1, "C", readonly=True)
f64_in_2d: Final = types.Array(types.float64, 2, "C", readonly=True)
i64_in: Final = types.Array(types.int64, 1, "C", readonly=True)
i16_in_2d: Final = types.Array(types.int16, 2, "C", readonly=True)
f32_in_3d: Final = types.Array(types.float32, 3, "C", readonly=True)
bool_in: Final = types.Array(types.boolean, 1, "C", readonly=True)
bool_in_2d: Final = types.Array(types.boolean, 2, "C", readonly=True)
u64_in: Final = types.Array(types.uint64, 1, "C", readonly=True)
f32_out: Final = types.Array(types.float32, 1, "C")
f32_out_3d: Final = types.Array(types.float32, 3, "C")
f32_out_2d: Final = types.Array(types.float32, 2, "C")
f32_out_4d: Final = types.Array(types.float32, 4, "C")
f64_out: Final = types.Array(types.float64, 1, "C")
f64_out_2d: Final = types.Array(types.float64, 2, "C")
i64_out: Final = types.Array(types.int64, 1, "C")
i64_out_2d: Final = types.Array(types.int64, 2, "C")


def records_in(dtype: np.dtype[np.void]) -> types.Array:
    """The type of a read-only array of records."""
    return types.Array(numba.from_dtype(dtype), 1, "C", readonly=True)


# Sums may be taken in vector lanes and products fused. The flags that let LLVM assume "no NaN, no infinity" or replace
# a division by a reciprocal stay out: an overflow must remain an infinity which a comparison can see.
LANES: Final = frozenset({"reassoc", "contract", "nsz"})


def kernel(*signatures: object, lanes: bool = False, counts: bool = True) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Compile a function for Numba with the options of this project.

    Args:
        signatures: the types it is compiled for at import; none for scalar maths, which its callers inline.
        lanes: allow sums in vector lanes and fused multiply-adds. The order of a sum then depends on its length and on
            the CPU family, never on the values or on what else is in the batch. Without it the order is as written.
        counts: whether it counts who holds an array, as whoever makes or gives one must. Numba counts every array that is handed on, and
            every row taken of one, atomically: of the time for 50 offers that was half. A kernel that only reads and
            writes what it was given says False; making an array there is an error when it is compiled, and that none is given back is
            held by tests/unit/test_kernel_counts.py.

    Returns:
        A decorator. Compiled code lets go of the GIL, divides as NumPy does (no ZeroDivisionError) and is cached on
        disk. With `NUMBA_DISABLE_JIT=1` the function stays plain Python.
    """
    options: dict[str, Any] = {"fastmath": set(LANES) if lanes else False, "_nrt": counts}
    jit = numba.njit(list(signatures) or None, cache=True, nogil=True, error_model="numpy", **options)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        with compiled_once(function):
            compiled: Callable[P, R] = jit(function)
        return compiled

    return decorate


drop_stale(Path(__file__).parent)
