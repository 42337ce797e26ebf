"""How several numbers become one value inside kernels: its type for Numba, and the LLVM instructions of what can be done with it.

`lanes` and `quads` are made of this. With `NUMBA_DISABLE_JIT=1` an operation is its plain twin on arrays.
"""

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

Build = Callable[[Any, Any, Any, Any], Any]
Typed = Callable[..., Any]


class Vector(types.Type):
    """Numba's name for so many numbers of one type."""

    def __init__(self, name: str, number: types.Type, in_llvm: ir.Type, width: int) -> None:
        self.number, self.width = number, width
        self.in_llvm = ir.VectorType(in_llvm, width)
        self.undefined = ir.Constant(self.in_llvm, ir.Undefined)
        self.align = 4 if number == types.float32 else 8
        super().__init__(name)


@register_model(Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, frontend: Any) -> None:
        super().__init__(manager, frontend, frontend.in_llvm)  # type: ignore[no-untyped-call] # Numba is not annotated


def operation(plain: Callable[..., Any], typed: Typed) -> Any:
    """The intrinsic; its plain twin where Numba is off."""
    return plain if vars(numba.config)["DISABLE_JIT"] else intrinsic(typed)


def of(vector: Vector, count: int, build: Build, result: types.Type | None = None) -> Typed:
    """A function of so many values; it gives one more, or another type."""
    signature = (result or vector)(*[vector] * count)

    def one(_context: Any, _x: Any) -> Any:
        return signature, build

    def two(_context: Any, _x: Any, _y: Any) -> Any:
        return signature, build

    def three(_context: Any, _x: Any, _y: Any, _z: Any) -> Any:
        return signature, build

    def four(_context: Any, _x: Any, _y: Any, _z: Any, _w: Any) -> Any:
        return signature, build

    return (one, two, three, four)[count - 1]


def instruction(name: str) -> Build:
    """Of LLVM, lane by lane."""
    return lambda _context, builder, _signature, arguments: getattr(builder, name)(*arguments)


def call(vector: Vector, name: str) -> Build:
    """A function of LLVM, all of whose arguments and result are such values."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(vector.in_llvm, [vector.in_llvm] * len(arguments))
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        return builder.call(function, arguments)

    return build


def picking(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
    """The third where the first is below the second, else the fourth."""
    x, limit, below, otherwise = arguments
    return builder.select(builder.fcmp_ordered("<", x, limit), below, otherwise)


def smaller(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
    """The second where the first is not a number: one instruction, which llvm.minnum is not."""
    x, limit = arguments
    return builder.select(builder.fcmp_ordered("<", x, limit), x, limit)


def larger(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
    """As `smaller`."""
    x, limit = arguments
    return builder.select(builder.fcmp_ordered(">", x, limit), x, limit)


def across(vector: Vector, combine: str) -> Build:
    """Halves are combined with each other: of eight, lanes 0 + 4, 1 + 5 ...; then 0 + 2, 1 + 3; then 0 + 1."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        value, step = arguments[0], vector.width // 2
        while step:
            turned = order(*((i + step) % vector.width for i in range(vector.width)))
            value = getattr(builder, combine)(value, builder.shuffle_vector(value, vector.undefined, turned))
            step //= 2
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return build


def order(*lanes: int) -> ir.Constant:
    """For shuffles."""
    return ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))


def place(vector: Vector, context: Any, builder: Any, array: tuple[Any, Any], at: Any) -> Any:
    """Pointer to a value inside an array given with its type, from place `at` on. Nobody looks whether it is inside."""
    return builder.bitcast(_number(context, builder, *array, at), vector.in_llvm.as_pointer())


def loading(vector: Vector, otherwise: Build | None = None) -> Typed:
    """Of an array and a place: what stands there, or what is built otherwise."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at = arguments
        loaded = builder.load(place(vector, context, builder, (signature.args[0], array), at))
        loaded.align = vector.align
        return loaded

    def typed(_context: Any, array: Any, _at: Any) -> Any:
        return vector(array, types.intp), otherwise or build

    return typed


def storing(vector: Vector, narrow: Vector | None = None) -> Typed:
    """Of an array, a place and a value, which is rounded to the numbers of the narrower vector if there is one."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, value = arguments
        target = narrow or vector
        rounded = builder.fptrunc(value, narrow.in_llvm) if narrow else value
        builder.store(rounded, place(target, context, builder, (signature.args[0], array), at)).align = target.align
        return context.get_dummy_value()

    def typed(_context: Any, array: Any, _at: Any, _value: Any) -> Any:
        return types.void(array, types.intp, vector), build

    return typed


def splatting(vector: Vector) -> Typed:
    """Of one number."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return _everywhere(vector, builder, arguments[0])

    def typed(_context: Any, _x: Any) -> Any:
        return vector(vector.number), build

    return typed


def repeating(vector: Vector) -> Typed:
    """Of an array and a place: the number there, in every lane."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at = arguments
        return _everywhere(vector, builder, builder.load(_number(context, builder, signature.args[0], array, at)))

    return loading(vector, build)


def _number(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [at])


def _everywhere(vector: Vector, builder: Any, number: Any) -> Any:
    first = builder.insert_element(vector.undefined, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, vector.undefined, order(*[0] * vector.width))
