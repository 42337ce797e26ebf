"""Eight float32 numbers as one value inside kernels: what LLVM's loop vectoriser does not find is written out with these.

A kernel that keeps its sums in registers reaches the speed of BLAS, and the order of every sum is as written. Each
operation is one LLVM instruction or a few; on a machine without 256-bit registers LLVM splits it. With
`NUMBA_DISABLE_JIT=1` an operation is its plain twin on arrays of eight.
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
    larger,
    loading,
    of,
    operation,
    order,
    picking,
    place,
    repeating,
    smaller,
    splatting,
    storing,
)

F32 = NDArray[np.float32]
Lanes = Any
WIDTH: Final = 8

_F32X8: Final = Vector("f32x8", types.float32, ir.FloatType(), WIDTH)


def _totals(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array, at = arguments
    rows = []
    for i in range(WIDTH):
        place_of_row = builder.add(at, ir.Constant(at.type, i * WIDTH))
        rows.append(builder.load(place(_F32X8, context, builder, (signature.args[0], array), place_of_row)))
        rows[-1].align = 4
    for step in (4, 2, 1):  # after the last step lane i is the sum of row i
        swapped = _exchanged(builder, rows[: 2 * step], step)
        rows = [builder.fadd(swapped[i], swapped[i + step]) for i in range(step)]
    return rows[0]


def _turn(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    source, at, stride, target, to, target_stride = arguments
    rows = []
    for _ in range(WIDTH):
        rows.append(builder.load(place(_F32X8, context, builder, (signature.args[0], source), at)))
        rows[-1].align = 4
        at = builder.add(at, stride)
    for step in (4, 2, 1):  # after the last step lane j of row i is lane i of row j
        rows = _exchanged(builder, rows, step)
    for row in rows:
        builder.store(row, place(_F32X8, context, builder, (signature.args[3], target), to)).align = 4
        to = builder.add(to, target_stride)
    return context.get_dummy_value()


def _exchanged(builder: Any, rows: list[Any], step: int) -> list[Any]:
    """Rows i and i + step swap the blocks of `step` lanes that lie across the diagonal."""
    out = list(rows)
    low_half = [i if i & step == 0 else WIDTH + i - step for i in range(WIDTH)]
    high_half = [i + step if i & step == 0 else WIDTH + i for i in range(WIDTH)]
    for i in range(len(rows)):
        if i & step == 0:
            out[i] = builder.shuffle_vector(rows[i], rows[i + step], order(*low_half))
            out[i + step] = builder.shuffle_vector(rows[i], rows[i + step], order(*high_half))
    return out


def _tile_to_tile(
    _context: Any, source: Any, _at: Any, _stride: Any, target: Any, _to: Any, _target_stride: Any
) -> Any:
    places = (types.intp, types.intp)
    return types.void(source, *places, target, *places), _turn


def _plain_turn(source: F32, at: int, stride: int, target: F32, to: int, target_stride: int) -> None:
    for i in range(WIDTH):
        for j in range(WIDTH):
            target[to + j * target_stride + i] = source[at + i * stride + j]


def _plain_store(array: F32, at: int, value: Lanes) -> None:
    array[at : at + WIDTH] = value


# load(array, at): the eight numbers from place `at` of a one-dimensional float32 array on; the caller answers for the
# bounds. store(array, at, value) is its reverse; repeat(array, at) is the one number there, eight times, and splat(x) is x eight times.
load: Final = operation(lambda array, at: array[at : at + WIDTH].copy(), loading(_F32X8))
store: Final = operation(_plain_store, storing(_F32X8))
repeat: Final = operation(lambda array, at: np.full(WIDTH, array[at], np.float32), repeating(_F32X8))
splat: Final = operation(lambda x: np.full(WIDTH, x, np.float32), splatting(_F32X8))

# Lane by lane; fma(x, y, z) = x * y + z, rounded once; pick(x, limit, below, otherwise) is `below` where x < limit.
add: Final = operation(np.add, of(_F32X8, 2, instruction("fadd")))
sub: Final = operation(np.subtract, of(_F32X8, 2, instruction("fsub")))
mul: Final = operation(np.multiply, of(_F32X8, 2, instruction("fmul")))
div: Final = operation(np.divide, of(_F32X8, 2, instruction("fdiv")))
fma: Final = operation(lambda x, y, z: x * y + z, of(_F32X8, 3, call(_F32X8, "llvm.fma.v8f32")))
low: Final = operation(np.fmin, of(_F32X8, 2, smaller))
high: Final = operation(np.fmax, of(_F32X8, 2, larger))
pick: Final = operation(
    lambda x, limit, below, otherwise: np.where(x < limit, below, otherwise), of(_F32X8, 4, picking)
)
root: Final = operation(np.sqrt, of(_F32X8, 1, call(_F32X8, "llvm.sqrt.v8f32")))

# Of the eight: their sum and their product, by halves.
total: Final = operation(lambda x: np.float32(x.sum()), of(_F32X8, 1, across(_F32X8, "fadd"), types.float32))
product: Final = operation(lambda x: np.float32(x.prod()), of(_F32X8, 1, across(_F32X8, "fmul"), types.float32))

# totals(array, at): the sums of the eight values that stand there one behind the other.
totals: Final = operation(
    lambda array, at: array[at : at + WIDTH * WIDTH].reshape(WIDTH, WIDTH).sum(axis=1), loading(_F32X8, _totals)
)

# turn(source, at, stride, target, to, target_stride): transpose a tile of 8 x 8. The rows `stride` apart from place `at`
# on become the columns of a tile from place `to` on.
turn: Final = operation(_plain_turn, _tile_to_tile)
