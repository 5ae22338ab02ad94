"""The words of winograd_kernels.py: a tile of a block of 16 channels to and from its 36 points, and
the products at a point. The formulas are in winograd.py; this loads Numba.

V and M of a block of channels are (36, 25, 16) in memory: points, tiles, channels. There are 24
tiles; the 25th is there because steps of 24 x 64 bytes would fall on the same few lines of the
cache. With steps that are known the address of a point costs nothing.
"""

from typing import Any

import numpy as np

from cunet.engines.cpu.vectors import (
    BLOCK,
    LANES,
    PIXEL,
    Value,
    at,
    both_ways,
    broadcast,
    constant,
    load,
    parts,
    product,
    raised,
    store,
    word,
)
from cunet.engines.cpu.winograd_tiles import AT, BT, PATCH, TILE

TILES = 24  # at a time
ROWS = 12 if LANES == BLOCK else 6  # tiles in a block of a product; divides TILES
CHANNELS = 8 if LANES == BLOCK else 4  # channels in one of dU; divides BLOCK
POINT = (TILES + 1) * PIXEL  # bytes from point to point
POINTS = PATCH * PATCH * POINT  # bytes of V or M for a block of channels


def to_points_by(matrix: np.ndarray) -> Any:
    """The word for matrix d matrix^T of a patch d, written to its 36 points."""

    def emit(b: Any, x: Value, row: Value, pixel: Value, v: Value) -> None:
        with parts(b) as (offset, _):
            rows = [at(b, at(b, x, offset), row, r) for r in range(matrix.shape[1])]
            out = at(b, v, offset)
            both_ways(
                b,
                matrix,
                lambda r, s: load(b, at(b, rows[r], pixel, s)),
                lambda i, j, vector: store(b, vector, at(b, out, PATCH * i + j, POINT)),
            )

    return word(emit)


to_points = to_points_by(BT)  # of a patch (6x6)
tile_to_points = to_points_by(AT.T)  # of a tile (4x4): X of backward


@word
def from_points(
    b: Any, m: Value, bias: Value, least: Value, y: Value, row: Value, pixel: Value
) -> None:
    """AT m AT^T, a tile (4x4), at least the number at `least`; the bias enters at point (1, 1)."""
    floor = broadcast(b, least)
    with parts(b) as (offset, _):
        rows, points = [at(b, at(b, y, offset), row, p) for p in range(TILE)], at(b, m, offset)
        added = load(b, at(b, bias, offset))

        def get(i: int, j: int) -> Any:
            vector = load(b, at(b, points, PATCH * i + j, POINT))
            return b.fadd(vector, added) if i == j == 1 else vector

        def put(p: int, q: int, vector: Value) -> None:
            store(b, raised(b, vector, floor), at(b, rows[p], pixel, q))

        both_ways(b, AT, get, put)


@word
def rectified(
    b: Any, x: Value, row: Value, pixel: Value, y: Value, y_row: Value, y_pixel: Value, out: Value
) -> None:
    """The patch of x (6x6) where y > 0, else 0, to `out`."""
    with parts(b) as (offset, _):
        for r in range(PATCH):
            for s in range(PATCH):
                kept = load(b, at(b, at(b, at(b, y, offset), y_row, r), y_pixel, s))
                here = load(b, at(b, at(b, at(b, x, offset), row, r), pixel, s))
                here = b.select(b.fcmp_unordered(">", kept, constant(0)), here, constant(0))
                store(b, here, at(b, at(b, out, offset), PATCH * r + s, PIXEL))


@word
def add_tile(b: Any, x: Value, row: Value, pixel: Value, total: Value) -> None:
    """total[0:16] += the sum of the 16 pixels of a tile x (4x4)."""
    with parts(b) as (offset, _):
        rows = [at(b, at(b, x, offset), row, r) for r in range(TILE)]
        sums = []
        for here in rows:
            a, c, d, e = (load(b, at(b, here, pixel, s)) for s in range(TILE))
            sums.append(b.fadd(b.fadd(a, c), b.fadd(d, e)))
        a, c, d, e = sums
        own = b.fadd(b.fadd(a, c), b.fadd(d, e))
        store(b, b.fadd(load(b, at(b, total, offset)), own), at(b, total, offset))


products = product(ROWS)  # a row is a tile, a step a channel
products_of_tiles = product(CHANNELS, start=True)  # a row is a channel, a step a tile
