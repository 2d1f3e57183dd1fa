"""Eight float64 lanes as one value inside numba kernels.

LLVM's loop vectoriser keeps to 256-bit registers on processors that have 512-bit ones, and cannot
know that two rows of scratch never overlap. An explicit vector type settles both: each function
below becomes one instruction where the processor has it, and a few where not.

Every operation is IEEE 754 double arithmetic per lane, with fused multiply-adds spelt out, so a
lane's result depends on that lane alone, and is the same on every processor.

Rows: scratch arrays are C-contiguous float64 of shape (rows, LANES), or (LANES,) for one row; a
row holds one quantity of LANES targets. No bounds are checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.core.datamodel import models, register_default
from numba.extending import intrinsic

from gapcast.engine.kernels.uncounted import PartCompiler, inlined_part

LANES = 8

inlined = njit(
    forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, pipeline_class=PartCompiler
)
"""For parts of kernels that allocate; see `inlined_part` for all others."""

_BYTES = 8
_BYTE = ir.IntType(8)
_DOUBLE = ir.DoubleType()
_VECTOR = ir.VectorType(_DOUBLE, LANES)
_UNDEFINED = ir.Constant(_VECTOR, ir.Undefined)
_FIRST = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
_INFINITE = ir.Constant(_VECTOR, [float("inf")] * LANES)


class LanesType(types.Type):
    """The numba type of LANES float64 values in vector registers."""

    def __init__(self) -> None:
        super().__init__(name=f"float64x{LANES}")


lanes = LanesType()


@register_default(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _VECTOR)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, row: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    offset = builder.mul(row, ir.Constant(row.type, LANES))
    return builder.bitcast(builder.gep(data, [offset]), _VECTOR.as_pointer())


@intrinsic
def load(typing_context: Any, rows: Any, i: Any) -> Any:
    """``load(rows, i)``: row `i` of `rows`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *args)
        return builder.load(pointer, align=_BYTES)

    return lanes(rows, types.intp), generate


@intrinsic
def store(typing_context: Any, rows: Any, i: Any, value: Any) -> Any:
    """``store(rows, i, value)``: put `value` into row `i` of `rows`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *args[:2])
        builder.store(args[2], pointer, align=_BYTES)
        return context.get_dummy_value()

    return types.void(rows, types.intp, lanes), generate


def _lane(context: Any, builder: Any, kind: Any, args: Any, lane: int) -> Any:
    data = context.make_array(kind)(context, builder, args[0]).data
    ahead = builder.mul(args[2], ir.Constant(args[2].type, lane))
    return builder.gep(data, [builder.add(args[1], ahead)])


@intrinsic
def gather(typing_context: Any, array: Any, start: Any, step: Any) -> Any:
    """``gather(array, start, step)``: entries start, start + step, ... of a C-contiguous array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = _UNDEFINED
        for lane in range(LANES):
            entry = builder.load(_lane(context, builder, signature.args[0], args, lane))
            value = builder.insert_element(value, entry, ir.Constant(ir.IntType(32), lane))
        return value

    return lanes(array, types.intp, types.intp), generate


@intrinsic
def scatter(typing_context: Any, array: Any, start: Any, step: Any, value: Any) -> Any:
    """``scatter(array, start, step, value)``: put the lanes where `gather` takes them from."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        for lane in range(LANES):
            entry = builder.extract_element(args[3], ir.Constant(ir.IntType(32), lane))
            builder.store(entry, _lane(context, builder, signature.args[0], args, lane))
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, lanes), generate


@intrinsic
def prefetch(typing_context: Any, array: Any, start: Any) -> Any:
    """``prefetch(array, start)``: fetch the cache line of a flat entry; any `start` will do."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        pointer = builder.bitcast(builder.gep(data, [args[1]]), _BYTE.as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer(), number, number, number])
        call = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        # to read, into every level of the cache, data
        builder.call(call, [pointer, *(ir.Constant(number, c) for c in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def fill(typing_context: Any, number: Any) -> Any:
    """``fill(number)``: the same number in every lane."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        one = builder.insert_element(_UNDEFINED, args[0], ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(one, _UNDEFINED, _FIRST)

    return lanes(types.float64), generate


def _binary(emit: Callable[[Any, Any, Any], Any]) -> Any:
    def operation(typing_context: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return emit(builder, *args)

        return lanes(lanes, lanes), generate

    return intrinsic(operation)


def _ternary(emit: Callable[[Any, Any, Any, Any], Any]) -> Any:
    def operation(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return emit(builder, *args)

        return lanes(lanes, lanes, lanes), generate

    return intrinsic(operation)


def _larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _fused(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    name = f"llvm.fma.v{LANES}f64"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [a, b, c])


def _if_positive(builder: Any, test: Any, a: Any, b: Any) -> Any:
    zero = ir.Constant(_VECTOR, [0.0] * LANES)
    return builder.select(builder.fcmp_ordered(">", test, zero), a, b)


def _if_finite(builder: Any, test: Any, a: Any, b: Any) -> Any:
    below = builder.fcmp_ordered("<", test, _INFINITE)
    above = builder.fcmp_ordered(">", test, ir.Constant(_VECTOR, [float("-inf")] * LANES))
    return builder.select(builder.and_(below, above), a, b)


add = _binary(lambda builder, a, b: builder.fadd(a, b))  # a + b
sub = _binary(lambda builder, a, b: builder.fsub(a, b))  # a - b
mul = _binary(lambda builder, a, b: builder.fmul(a, b))  # a * b
div = _binary(lambda builder, a, b: builder.fdiv(a, b))  # a / b
larger = _binary(_larger)  # the larger of a and b; b where one is NaN
fma = _ternary(_fused)  # a * b + c, rounded once
fnma = _ternary(lambda builder, a, b, c: _fused(builder, builder.fneg(a), b, c))  # c - a * b
if_positive = _ternary(_if_positive)  # (test, a, b): a where test > 0, else b
if_finite = _ternary(_if_finite)  # (test, a, b): a where test is neither infinite nor NaN, else b


@inlined
def new_rows(rows):
    """(rows, LANES) uninitialised scratch, each row within one cache line."""
    raw = np.empty(rows * LANES + LANES)
    skip = (-raw.ctypes.data // _BYTES) % LANES
    return raw[skip : skip + rows * LANES].reshape(rows, LANES)


@inlined_part
def load_rows(rows, array, first):
    """Transpose entries `first` onward of `array` (N, k), one a lane, into the k rows of `rows`;
    lanes past the end of `array` are 0."""
    n, k = array.shape
    if first + LANES <= n:
        for i in range(k):
            store(rows, i, gather(array, first * k + i, k))
    else:
        for i in range(k):
            store(rows, i, fill(0.0))
            for lane in range(n - first):
                rows[i, lane] = array[first + lane, i]


@inlined_part
def store_rows(rows, array, first):
    """Undo `load_rows`: write the rows back to entries `first` onward of `array`."""
    n, k = array.shape
    if first + LANES <= n:
        for i in range(k):
            scatter(array, first * k + i, k, load(rows, i))
    else:
        for i in range(k):
            for lane in range(n - first):
                array[first + lane, i] = rows[i, lane]
