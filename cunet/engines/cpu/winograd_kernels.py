"""The loops of winograd_fused.py, compiled by Numba; this loads it.

24 tiles at a time go through all steps of winograd.py. V and M of a block of 16 channels are 58 kB
each (winograd_words.py), so they stay in the cache; U is (36, K / 16, C, 16).

All arrays come as addresses, with bytes from row to row and from pixel to pixel: one machine code
serves all layouts. `images` has a row (address, row, pixel, channels) for each image of x; `plan`
holds all other numbers.
"""

from numba.extending import register_jitable

from cunet.compiled import compiled
from cunet.engines.cpu.vectors import BLOCK, PIXEL, clear, copy
from cunet.engines.cpu.winograd_tiles import PATCH, TILE
from cunet.engines.cpu.winograd_words import (
    CHANNELS,
    POINT,
    POINTS,
    ROWS,
    TILES,
    add_tile,
    from_points,
    products,
    products_of_tiles,
    rectified,
    tile_to_points,
    to_points,
)

# The places in a plan: channels; addresses; where tiles lie; the sizes of x and y; images
(C, K, U, BIAS, LEAST, V, M, EDGE, BEFORE, ACROSS, FIRST, LAST, HEIGHT, WIDTH, P, Q) = range(16)
MAP = 3  # places of an image: address, bytes from row to row and from pixel to pixel
Y, DY, DX = range(16, 16 + 3 * MAP, MAP)
DU, DB, PLAN = range(25, 28)


@register_jitable
def patch(x, row, pixel, height, width, top, left, side, edge):  # type: ignore[no-untyped-def]
    """Where a patch side x side of a block of channels lies, as (address, row, pixel); one that
    reaches beyond the image is put together, with zeros, in `edge`."""
    if top >= 0 and left >= 0 and top + side <= height and left + side <= width:
        return x + top * row + left * pixel, row, pixel
    for a in range(side):
        for b in range(side):
            target = edge + (side * a + b) * PIXEL
            if 0 <= top + a < height and 0 <= left + b < width:
                copy((x + (top + a) * row + (left + b) * pixel, target))
            else:
                clear((target,))
    return edge, side * PIXEL, PIXEL


@register_jitable
def multiply(plan, n, c, k):  # type: ignore[no-untyped-def]
    """M of n tiles from V of c channels and U."""
    for p in range(PATCH * PATCH):
        for block in range(0, k, BLOCK):
            u = plan[U] + (p * k + block) * c * 4
            for i in range(0, n, ROWS):  # the last rows may be of no tile
                a = plan[V] + p * POINT + i * PIXEL
                out = plan[M] + block // BLOCK * POINTS + p * POINT + i * PIXEL
                products((c // BLOCK, BLOCK, a, PIXEL, 4, POINTS, u, out, PIXEL, 0, 0, 0))


@register_jitable
def finish(plan, n, start, k, image, height, width):  # type: ignore[no-untyped-def]
    """n tiles of an image of k channels from M, as far as the image reaches."""
    y, row, pixel = plan[image], plan[image + 1], plan[image + 2]
    edge = plan[EDGE]
    for i in range(n):
        t, s = divmod(start + i, plan[ACROSS])
        top, left = TILE * t, TILE * s
        inside = top + TILE <= height and left + TILE <= width
        for block in range(0, k, BLOCK):
            m = plan[M] + block // BLOCK * POINTS + i * PIXEL
            here = y + top * row + left * pixel + 4 * block
            to = (here, row, pixel) if inside else (edge, TILE * PIXEL, PIXEL)
            from_points((m, plan[BIAS] + 4 * block, plan[LEAST], *to))
            if not inside:
                for a in range(min(TILE, height - top)):
                    for b in range(min(TILE, width - left)):
                        copy((edge + (TILE * a + b) * PIXEL, here + a * row + b * pixel))


@compiled
def forward(images, plan):  # type: ignore[no-untyped-def]
    """Tiles FIRST to LAST of one image y, counted along its rows."""
    for start in range(plan[FIRST], plan[LAST], TILES):
        n = min(TILES, plan[LAST] - start)
        for i in range(n):
            t, s = divmod(start + i, plan[ACROSS])
            top, left = TILE * t - plan[BEFORE], TILE * s - plan[BEFORE]
            v = plan[V] + i * PIXEL
            for x, row, pixel, channels in images:
                for block in range(0, channels, BLOCK):
                    here = x + 4 * block
                    source = patch(
                        here, row, pixel, plan[HEIGHT], plan[WIDTH], top, left, PATCH, plan[EDGE]
                    )
                    to_points((*source, v))
                    v += POINTS
        multiply(plan, n, plan[C], plan[K])
        finish(plan, n, start, plan[K], Y, plan[P], plan[Q])


@compiled
def backward(images, plan):  # type: ignore[no-untyped-def]
    """Tiles FIRST to LAST of one image dx, counted along its rows: dx itself if WANTED, and these
    tiles' share of dU (36, K / 16, C, 16) and db (K), which start from zeros."""
    c, k, before = plan[C], plan[K], plan[BEFORE]
    dy, dy_row, dy_pixel = plan[DY], plan[DY + 1], plan[DY + 2]
    y, y_row, y_pixel = plan[Y], plan[Y + 1], plan[Y + 2]
    edge = plan[EDGE]
    other, third = edge + PATCH * PATCH * PIXEL, edge + 2 * PATCH * PATCH * PIXEL
    for start in range(plan[FIRST], plan[LAST], TILES):
        n = min(TILES, plan[LAST] - start)
        for i in range(n):
            t, s = divmod(start + i, plan[ACROSS])
            top, left = TILE * t - before, TILE * s - before
            v = plan[V] + i * PIXEL
            for block in range(0, k, BLOCK):
                a, row, pixel = patch(
                    dy + 4 * block, dy_row, dy_pixel, plan[P], plan[Q], top, left, PATCH, edge
                )
                if y != 0:
                    kept = patch(
                        y + 4 * block, y_row, y_pixel, plan[P], plan[Q], top, left, PATCH, other
                    )
                    rectified((a, row, pixel, *kept, third))
                    a, row, pixel = third, PATCH * PIXEL, PIXEL
                to_points((a, row, pixel, v))
                add_tile((a + before * (row + pixel), row, pixel, plan[DB] + 4 * block))
                v += POINTS
        if plan[DX] != 0:
            multiply(plan, n, k, c)
            finish(plan, n, start, c, DX, plan[HEIGHT], plan[WIDTH])
        for i in range(n):
            t, s = divmod(start + i, plan[ACROSS])
            m = plan[M] + i * PIXEL
            for x, row, pixel, channels in images:
                for block in range(0, channels, BLOCK):
                    here = patch(
                        x + 4 * block,
                        row,
                        pixel,
                        plan[HEIGHT],
                        plan[WIDTH],
                        TILE * t,
                        TILE * s,
                        TILE,
                        edge,
                    )
                    tile_to_points((*here, m))
                    m += POINTS
        for p in range(PATCH * PATCH):
            for block in range(k // BLOCK):
                v = plan[V] + block * POINTS + p * POINT
                du = plan[DU] + (p * (k // BLOCK) + block) * c * PIXEL
                for channel in range(0, c, CHANNELS):
                    m = plan[M] + channel // BLOCK * POINTS + p * POINT + channel % BLOCK * 4
                    out = du + channel * PIXEL
                    products_of_tiles((1, n, m, 4, PIXEL, 0, v, out, PIXEL, out, PIXEL, 0))
