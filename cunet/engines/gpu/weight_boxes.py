"""The launches of boxes_weights.cu and boxes_weights_tf32.cu: gradients of 3x3 filters and biases
by Hopper's copy engine. Nothing here waits for the GPU."""

import numpy as np

from cunet.backend import Array, array_module
from cunet.engines.gpu import weight_tiles
from cunet.engines.gpu.boxes import address, image_map, record
from cunet.engines.gpu.cuda import blocks, launch
from cunet.engines.gpu.sums import sum_filter_partials

PROBLEM = np.dtype(
    [("dw", np.uint64), ("db", np.uint64), ("part", np.int64)]
    + [(name, np.int32) for name in "across down steps K C1 C2 tiles_c1 tiles_c".split()],
    align=True,
)  # the struct WeightsProblem of boxes_weights.cu, which explains its fields


def launch_weight_boxes(
    pictures: tuple[Array, ...],
    dy: Array,
    into: tuple[Array | None, Array | None] = (None, None),
) -> tuple[Array, Array]:
    """dw (3, 3, C, K) and db (K) in float32, for dy (N, P, Q, K) and one or two pictures
    (N, P + 2, Q + 2, C), which stand for their channels side by side. into: arrays for dw and db,
    by default new ones."""
    xp, (n, rows, columns, k) = array_module(dy), dy.shape
    channels = tuple(picture.shape[3] for picture in pictures)
    gradient = weight_tiles.Gradient(n, rows, columns, k, channels, dy.dtype.itemsize)
    cut = weight_tiles.choose(gradient)
    tile, parts = cut.tile, cut.parts
    shape = (3, 3, sum(channels), k)
    dw = xp.empty(shape, np.float32) if into[0] is None else into[0]
    db = xp.empty((k,), np.float32) if into[1] is None else into[1]
    partial = xp.empty((parts, gradient.floats), np.float32) if parts > 1 else None
    first = (address(dw), address(db))
    if partial is not None:
        first = (address(partial), address(partial) + 4 * dw.size)
    tiles_k, tiles_c = cut.tiles_of(gradient)
    side = weight_tiles.SIDE
    problem = record(PROBLEM, dict(
        dw=first[0], db=first[1], part=gradient.floats,
        across=blocks(columns, side), down=blocks(rows, side), steps=cut.steps(gradient),
        K=k, C1=channels[0], C2=sum(channels[1:]), tiles_c1=tiles_c[0], tiles_c=sum(tiles_c),
    ))  # fmt: skip
    maps = [
        image_map(picture, side + 2, side + tile.rows - 1)
        for picture in (pictures[0], pictures[-1])
    ]
    launch(
        dy, tile.name, (tiles_k * sum(tiles_c), 3 // tile.rows, parts), tile.threads,
        *maps, image_map(dy, side, side), problem, shared=tile.shared,
    )  # fmt: skip
    if partial is not None:
        sum_filter_partials(partial, dw, db)
    return dw, db
