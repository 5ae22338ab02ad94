"""The loops of max_pool.py, compiled by Numba; this loads it. NumPy's innermost loop is over the
channels of one pixel, and starting it takes longer than its work."""

from itertools import product
from typing import Any

from cunet.compiled import compiled
from cunet.engines.cpu.vectors import PIXEL, Value, at, constant, load, parts, store, word

# The places in a plan: of each image its address, the bytes from row to row and from pixel to pixel
(LINES, PIXELS, BLOCKS, X, X_ROW, X_PIXEL, Y, Y_ROW, Y_PIXEL, DY, DY_ROW, DY_PIXEL) = range(12)
DX, DX_ROW, DX_PIXEL = range(12, 15)


def window(b: Any, x: Value, row: Value, pixel: Value) -> list[Value]:
    """The addresses of a 2x2 window, in reading order."""
    return [at(b, at(b, x, row, r), pixel, s) for r, s in product(range(2), range(2))]


@word
def largest(b: Any, x: Value, row: Value, pixel: Value, y: Value) -> None:
    """The maximum of a window; what is not a number is larger than all."""
    with parts(b) as (offset, _):
        total, *others = (load(b, here) for here in window(b, at(b, x, offset), row, pixel))
        for other in others:
            stays = b.fcmp_ordered(">=", total, other)
            stays = b.or_(stays, b.fcmp_unordered("uno", total, total))
            total = b.select(stays, total, other)
        store(b, total, at(b, y, offset))


@word
def to_first(
    b: Any, dy: Value, y: Value, x: Value, row: Value, pixel: Value,
    dx: Value, dx_row: Value, dx_pixel: Value,
) -> None:  # fmt: skip
    """dy to the first pixel of a window of x that is equal to y, 0 to the others of dx."""
    with parts(b) as (offset, _):
        left, maximum = load(b, at(b, dy, offset)), load(b, at(b, y, offset))
        sources = window(b, at(b, x, offset), row, pixel)
        for here, there in zip(
            sources, window(b, at(b, dx, offset), dx_row, dx_pixel), strict=True
        ):
            hit = b.fcmp_ordered("==", load(b, here), maximum)
            store(b, b.select(hit, left, constant(0)), there)
            left = b.select(hit, constant(0), left)


@compiled
def forward(plan):  # type: ignore[no-untyped-def]
    """The maxima of some lines of windows."""
    for line in range(plan[LINES]):
        for pixel in range(plan[PIXELS]):
            x = plan[X] + 2 * (line * plan[X_ROW] + pixel * plan[X_PIXEL])
            y = plan[Y] + line * plan[Y_ROW] + pixel * plan[Y_PIXEL]
            for block in range(plan[BLOCKS]):
                offset = block * PIXEL
                largest((x + offset, plan[X_ROW], plan[X_PIXEL], y + offset))


@compiled
def backward(plan):  # type: ignore[no-untyped-def]
    """dx of some lines of windows."""
    for line in range(plan[LINES]):
        for pixel in range(plan[PIXELS]):
            dy = plan[DY] + line * plan[DY_ROW] + pixel * plan[DY_PIXEL]
            y = plan[Y] + line * plan[Y_ROW] + pixel * plan[Y_PIXEL]
            x = plan[X] + 2 * (line * plan[X_ROW] + pixel * plan[X_PIXEL])
            dx = plan[DX] + 2 * (line * plan[DX_ROW] + pixel * plan[DX_PIXEL])
            for block in range(plan[BLOCKS]):
                o = block * PIXEL
                to_first(
                    (dy + o, y + o, x + o, plan[X_ROW], plan[X_PIXEL],
                     dx + o, plan[DX_ROW], plan[DX_PIXEL])
                )  # fmt: skip
