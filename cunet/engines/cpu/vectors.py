"""Vectors of channels for compiled loops. Importing this module loads Numba.

Python has no type for the processor's vector registers, and a compiler that is left alone does not
keep a block of a matrix product in them. So the innermost steps are words: a Python function emits
them in LLVM's language, where <8 x float> is a type and a register, and loops that Numba compiles
call them. A word takes one tuple of whole numbers and addresses (in bytes). It knows nothing of
where arrays end: that is its callers' affair.

Channels come in blocks of 16: two registers of AVX2, one of AVX-512.

Numba keeps machine code until the file of the loop itself changes: after a change of words, change
the date of the files whose loops call them.
"""

from collections.abc import Callable, Sequence
from platform import machine
from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from cunet.engines.cpu.machine import BLOCK

PIXEL = 4 * BLOCK  # the bytes of a block
LANES = 16 if get_host_cpu_features().get("avx512f") else 8
PARTS = range(0, PIXEL, 4 * LANES)  # where the vectors of a block start

VECTOR = ir.VectorType(ir.FloatType(), LANES)
Value = Any  # of LLVM: a whole number, an address or a vector


def usable() -> bool:
    """Whether words run as instructions: Numba compiles, and the processor multiplies and adds at
    once (on x86 since 2013; elsewhere always)."""
    x86 = machine().lower() in ("x86_64", "amd64", "i386", "i686")
    compiles = not config.DISABLE_JIT  # type: ignore[attr-defined]
    return compiles and (not x86 or bool(get_host_cpu_features().get("fma")))


def word(emit: Callable) -> Any:
    """The word whose instructions emit(builder, *values) emits."""
    count = emit.__code__.co_argcount - 1

    def typed(_context: Any, values: Any) -> Any:
        signature = types.void(types.UniTuple(types.int64, count))

        def generate(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
            emit(builder, *cgutils.unpack_tuple(builder, given[0], count))
            return context.get_dummy_value()

        return signature, generate

    return intrinsic(typed)


def at(b: Any, address: Value, number: Value | int, step: Value | int = 1) -> Value:
    """address + number * step."""
    number, step = (x if isinstance(x, ir.Value) else whole(x) for x in (number, step))
    return b.add(address, b.mul(number, step))


def load(b: Any, address: Value) -> Value:
    return b.load(b.inttoptr(address, VECTOR.as_pointer()), align=4)


def store(b: Any, vector: Value, address: Value) -> None:
    b.store(vector, b.inttoptr(address, VECTOR.as_pointer()), align=4)


def broadcast(b: Any, address: Value) -> Value:
    """The number at an address in all lanes."""
    number = b.load(b.inttoptr(address, ir.FloatType().as_pointer()), align=4)
    none, first = ir.Constant(VECTOR, ir.Undefined), ir.Constant(ir.IntType(32), 0)
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return b.shuffle_vector(b.insert_element(none, number, first), none, lanes)


def whole(number: int) -> Value:
    return ir.Constant(ir.IntType(64), number)


def constant(number: float) -> Value:
    return ir.Constant(VECTOR, [float(number)] * LANES)


def multiply_add(b: Any, x: Value, y: Value, z: Value) -> Value:
    """x y + z, rounded once."""
    kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
    fma = cgutils.get_or_insert_function(b.module, kind, f"llvm.fma.v{LANES}f32")
    return b.call(fma, [x, y, z])


def parts(b: Any) -> Any:
    """A loop over the vectors of a block: `with parts(b) as (offset, _)`, in bytes."""
    return cgutils.for_range_slice(b, whole(0), whole(PIXEL), whole(4 * LANES))


@word
def copy(b: Any, source: Value, target: Value) -> None:
    """A block of channels from one address to another."""
    with parts(b) as (offset, _):
        store(b, load(b, at(b, source, offset)), at(b, target, offset))


@word
def clear(b: Any, target: Value) -> None:
    """A block of zeros."""
    with parts(b) as (offset, _):
        store(b, constant(0), at(b, target, offset))


def times(b: Any, matrix: np.ndarray, vectors: Sequence[Value]) -> list[Value]:
    """matrix @ vectors. The matrix is known now: a factor 0 costs nothing, 1 an addition."""
    out = []
    for row in matrix:
        terms = [(factor, x) for factor, x in zip(row, vectors, strict=True) if factor]
        terms.sort(key=lambda term: term[0] != 1)  # a term of factor 1 begins the sum
        (factor, x), *others = terms
        total = x if factor == 1 else b.fmul(constant(factor), x)
        for factor, x in others:
            if abs(factor) == 1:
                total = (b.fadd if factor == 1 else b.fsub)(total, x)
            else:
                total = multiply_add(b, constant(factor), x, total)
        out.append(total)
    return out


def both_ways(b: Any, matrix: np.ndarray, get: Callable, put: Callable) -> None:
    """matrix d matrix^T, where d[r][s] is get(r, s), element (i, j) handed to put(i, j, vector).

    Six vectors and their six sums fit into registers; what is between the two products does not.
    """
    n, m = matrix.shape
    between = cgutils.alloca_once(b, ir.ArrayType(VECTOR, m * n))

    def place(r: int, j: int) -> Value:
        return b.gep(between, [whole(0), whole(r * n + j)])

    for r in range(m):
        for j, vector in enumerate(times(b, matrix, [get(r, s) for s in range(m)])):
            b.store(vector, place(r, j))
    for j in range(n):
        for i, vector in enumerate(times(b, matrix, [b.load(place(r, j)) for r in range(m)])):
            put(i, j, vector)


def product(rows: int, start: bool = False, least: bool = False) -> Any:
    """The word for a block of a matrix product, rows x 16 sums in registers:

        out[row][0:16] = sum over `outer` blocks of `inner` steps of a[block, step, row] u[0:16]

    u advances by 16 numbers a step; *_row, *_step and *_block are the bytes from one to the next.
    start: the sums start from 16 numbers at `begun`, else from 0. least: they are raised to the
    number at `floor`. With six rows 12 registers of AVX2 hold the sums, two u and one a, in all
    lanes: 12 multiplications for 8 loads, and nothing is stored before the end.
    """

    def emit(
        b: Any, outer: Value, inner: Value, a: Value, a_row: Value, a_step: Value, a_block: Value,
        u: Value, out: Value, out_row: Value, begun: Value, begun_row: Value, floor: Value,
    ) -> None:  # fmt: skip
        places = [(r, offset) for r in range(rows) for offset in PARTS]
        sums = {place: cgutils.alloca_once(b, VECTOR) for place in places}
        for (r, offset), kept in sums.items():
            here = at(b, at(b, begun, offset), begun_row, r)
            b.store(load(b, here) if start else constant(0), kept)
        with cgutils.for_range(b, outer) as block, cgutils.for_range(b, inner) as step:
            here = at(b, at(b, a, block.index, a_block), step.index, a_step)
            there = at(b, u, at(b, step.index, block.index, inner), PIXEL)
            vectors = {offset: load(b, at(b, there, offset)) for offset in PARTS}
            factors = [broadcast(b, at(b, here, a_row, r)) for r in range(rows)]
            for (r, offset), kept in sums.items():
                b.store(multiply_add(b, factors[r], vectors[offset], b.load(kept)), kept)
        lowest = broadcast(b, floor) if least else None
        for (r, offset), kept in sums.items():
            total = b.load(kept)
            store(
                b,
                raised(b, total, lowest) if least else total,
                at(b, at(b, out, offset), out_row, r),
            )

    return word(emit)


def raised(b: Any, vector: Value, floor: Value) -> Value:
    """The larger of the two; what is not a number stays so."""
    return b.select(b.fcmp_ordered("<", vector, floor), floor, vector)
