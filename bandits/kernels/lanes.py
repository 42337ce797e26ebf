"""Eight float32 numbers as one value inside kernels: what LLVM's loop vectoriser does not find is written out with these.

A kernel that keeps its sums in registers reaches the speed of BLAS, and the order of every sum is as written. Each
operation is one LLVM instruction or a few; on a machine without 256-bit registers LLVM splits it. With
`NUMBA_DISABLE_JIT=1` an operation is its plain twin on arrays of eight.
"""

from collections.abc import Callable
from typing import Any, Final

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Lanes = Any
WIDTH: Final = 8

_FLOAT: Final = ir.FloatType()
_VECTOR: Final = ir.VectorType(_FLOAT, WIDTH)
_UNDEFINED: Final = ir.Constant(_VECTOR, ir.Undefined)
Build = Callable[[Any, Any, Any, Any], Any]


class F32x8(types.Type):
    """Numba's name for the value."""

    def __init__(self) -> None:
        super().__init__("f32x8")


f32x8: Final = F32x8()


@register_model(F32x8)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, frontend: Any) -> None:
        super().__init__(manager, frontend, _VECTOR)  # type: ignore[no-untyped-call] # Numba is not annotated


def _operation(plain: Callable[..., Any], typed: Callable[..., Any]) -> Any:
    """The intrinsic; its plain twin where Numba is off."""
    return plain if vars(numba.config)["DISABLE_JIT"] else intrinsic(typed)


def _order(*lanes: int) -> ir.Constant:
    return ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), list(lanes))


def _call(name: str) -> Build:
    """A function of LLVM on vectors, all of whose arguments and result are such."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * len(arguments))
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        return builder.call(function, arguments)

    return build


def _instruction(name: str) -> Build:
    return lambda _context, builder, _signature, arguments: getattr(builder, name)(*arguments)


def _place(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), _VECTOR.as_pointer())


def _load(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    loaded = builder.load(_place(context, builder, signature.args[0], *arguments))
    loaded.align = 4
    return loaded


def _store(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array, at, value = arguments
    builder.store(value, _place(context, builder, signature.args[0], array, at)).align = 4
    return context.get_dummy_value()


def _splat(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
    first = builder.insert_element(_UNDEFINED, arguments[0], ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, _UNDEFINED, _order(*[0] * WIDTH))


def _across(combine: str) -> Build:
    """Halves are combined with each other: lanes 0 + 4, 1 + 5 ...; then 0 + 2, 1 + 3; then 0 + 1."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        value = arguments[0]
        for step in (4, 2, 1):
            turned = builder.shuffle_vector(value, _UNDEFINED, _order(*((i + step) % WIDTH for i in range(WIDTH))))
            value = getattr(builder, combine)(value, turned)
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return build


def _plain_store(array: F32, at: int, value: Lanes) -> None:
    array[at : at + WIDTH] = value


def _from_array(_context: Any, array: Any, _at: Any) -> Any:
    return f32x8(array, types.intp), _load


def _to_array(_context: Any, array: Any, _at: Any, _value: Any) -> Any:
    return types.void(array, types.intp, f32x8), _store


def _from_number(_context: Any, _x: Any) -> Any:
    return f32x8(types.float32), _splat


def _of_one(build: Build, result: types.Type = f32x8) -> Callable[..., Any]:
    def typed(_context: Any, _x: Any) -> Any:
        return result(f32x8), build

    return typed


def _of_two(build: Build) -> Callable[..., Any]:
    def typed(_context: Any, _x: Any, _y: Any) -> Any:
        return f32x8(f32x8, f32x8), build

    return typed


def _of_three(build: Build) -> Callable[..., Any]:
    def typed(_context: Any, _x: Any, _y: Any, _z: Any) -> Any:
        return f32x8(f32x8, f32x8, f32x8), build

    return typed


def _of_four(build: Build) -> Callable[..., Any]:
    def typed(_context: Any, _x: Any, _y: Any, _z: Any, _w: Any) -> Any:
        return f32x8(f32x8, f32x8, f32x8, f32x8), build

    return typed


def _pick(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
    x, limit, below, otherwise = arguments
    return builder.select(builder.fcmp_ordered("<", x, limit), below, otherwise)


def _turn(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    source, at, stride, target, to, target_stride = arguments
    rows = []
    for _ in range(WIDTH):
        rows.append(builder.load(_place(context, builder, signature.args[0], source, at)))
        rows[-1].align = 4
        at = builder.add(at, stride)
    for step in (4, 2, 1):  # after the last step lane j of row i is lane i of row j
        rows = _exchanged(builder, rows, step)
    for row in rows:
        builder.store(row, _place(context, builder, signature.args[3], target, to)).align = 4
        to = builder.add(to, target_stride)
    return context.get_dummy_value()


def _exchanged(builder: Any, rows: list[Any], step: int) -> list[Any]:
    """Rows i and i + step swap the blocks of `step` lanes that lie across the diagonal."""
    out = list(rows)
    low_half = [i if i & step == 0 else WIDTH + i - step for i in range(WIDTH)]
    high_half = [i + step if i & step == 0 else WIDTH + i for i in range(WIDTH)]
    for i in range(WIDTH):
        if i & step == 0:
            out[i] = builder.shuffle_vector(rows[i], rows[i + step], _order(*low_half))
            out[i + step] = builder.shuffle_vector(rows[i], rows[i + step], _order(*high_half))
    return out


def _plain_turn(source: F32, at: int, stride: int, target: F32, to: int, target_stride: int) -> None:
    for i in range(WIDTH):
        for j in range(WIDTH):
            target[to + j * target_stride + i] = source[at + i * stride + j]


def _tile_to_tile(
    _context: Any, source: Any, _at: Any, _stride: Any, target: Any, _to: Any, _target_stride: Any
) -> Any:
    places = (types.intp, types.intp)
    return types.void(source, *places, target, *places), _turn


# load(array, at): the eight numbers from place `at` of a one-dimensional float32 array on; the caller answers for the
# bounds. store(array, at, value) is its reverse, splat(x) the same number eight times.
load: Final = _operation(lambda array, at: array[at : at + WIDTH].copy(), _from_array)
store: Final = _operation(_plain_store, _to_array)
splat: Final = _operation(lambda x: np.full(WIDTH, x, np.float32), _from_number)

# Lane by lane; fma(x, y, z) = x * y + z, rounded once; pick(x, limit, below, otherwise) is `below` where x < limit.
add: Final = _operation(np.add, _of_two(_instruction("fadd")))
sub: Final = _operation(np.subtract, _of_two(_instruction("fsub")))
mul: Final = _operation(np.multiply, _of_two(_instruction("fmul")))
div: Final = _operation(np.divide, _of_two(_instruction("fdiv")))
fma: Final = _operation(lambda x, y, z: x * y + z, _of_three(_call("llvm.fma.v8f32")))
low: Final = _operation(np.minimum, _of_two(_call("llvm.minnum.v8f32")))
high: Final = _operation(np.maximum, _of_two(_call("llvm.maxnum.v8f32")))
pick: Final = _operation(lambda x, limit, below, otherwise: np.where(x < limit, below, otherwise), _of_four(_pick))
root: Final = _operation(np.sqrt, _of_one(_call("llvm.sqrt.v8f32")))

# Of the eight: their sum and their product, by halves.
total: Final = _operation(lambda x: np.float32(x.sum()), _of_one(_across("fadd"), types.float32))
product: Final = _operation(lambda x: np.float32(x.prod()), _of_one(_across("fmul"), types.float32))

# turn(source, at, stride, target, to, target_stride): transpose a tile of 8 x 8. The rows `stride` apart from place `at`
# on become the columns of a tile from place `to` on.
turn: Final = _operation(_plain_turn, _tile_to_tile)
