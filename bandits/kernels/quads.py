"""Four float64 numbers as one value inside kernels, like `lanes`: load4, store4, repeat4, splat4, mul4, fma4, total4,
and narrow4, which stores them in a float32 array.
"""

from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types
from numpy.typing import NDArray

from bandits.kernels.vector import (
    Vector,
    across,
    call,
    instruction,
    loading,
    of,
    operation,
    repeating,
    splatting,
    storing,
)

F64 = NDArray[np.float64]
Quad = Any
FOUR: Final = 4

_F64X4: Final = Vector("f64x4", types.float64, ir.DoubleType(), FOUR)
_F32X4: Final = Vector("f32x4", types.float32, ir.FloatType(), FOUR)


def _plain_store(array: Any, at: int, value: Quad) -> None:
    array[at : at + FOUR] = value


load4: Final = operation(lambda array, at: array[at : at + FOUR].copy(), loading(_F64X4))
store4: Final = operation(_plain_store, storing(_F64X4))
narrow4: Final = operation(_plain_store, storing(_F64X4, _F32X4))
repeat4: Final = operation(lambda array, at: np.full(FOUR, array[at]), repeating(_F64X4))
splat4: Final = operation(lambda x: np.full(FOUR, x, np.float64), splatting(_F64X4))
mul4: Final = operation(np.multiply, of(_F64X4, 2, instruction("fmul")))
fma4: Final = operation(lambda x, y, z: x * y + z, of(_F64X4, 3, call(_F64X4, "llvm.fma.v4f64")))
total4: Final = operation(lambda x: float(x.sum()), of(_F64X4, 1, across(_F64X4, "fadd"), types.float64))
