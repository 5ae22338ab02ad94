"""3x3 convolution with a quarter of the multiplications: Winograd's F(4x4, 3x3) in NumPy.

Why it works. Multiplying two polynomials is a convolution of their coefficients. A polynomial of
degree 5 is also known by its values at six points, and values multiply point by point: evaluate,
multiply six times, interpolate (Toom and Cook). Read backwards - transposed - the same scheme
computes four neighbouring outputs of a 3-tap correlation from six inputs with 6 instead of 12
multiplications:

    y = AT [(G g) * (BT d)]        d: 6 inputs, g: 3 taps, y: 4 outputs, *: element by element

In two dimensions it is applied to rows and columns: a patch d (6x6) of x and a filter g (3x3) give
a tile y (4x4) with 36 multiplications instead of 144:

    y = AT [(G g G^T) * (BT d BT^T)] AT^T

Summed over the C channels, and for all tiles at once, each of the 36 products is a matrix product
(tiles, C) @ (C, K): that is where the time goes, and BLAS does it at full speed.

    V = BT d BT^T   (36, tiles, C)     one patch for every tile; patches overlap by two pixels
    U = G g G^T     (36, C, K)         = kron(G, G) @ g, g as (9, C K)
    M = V @ U       (36, tiles, K)
    y = AT M AT^T

The points. Small numbers keep the matrices, and so the rounding errors, small. The points
0, 1, -1, 1/2, -2 and infinity have about 0.7 of the error (root mean square) of the usual 0, 1, -1,
2, -2; and the value at (1, 1) reaches all sixteen outputs with factor one, so that a bias is added
there, once a tile.

Backward needs nothing new. dx is the convolution of dy, surrounded by zeros, with the filters
turned by 180 degrees, so V' = BT dy BT^T and U' as above, with K and C exchanged. And since y is
linear in U, its gradient is the transposed scheme: with X = AT^T x AT over the same tiles of dx,

    dU' = X^T V'   (36, C, K),    dg = kron(G, G)^T dU', turned back.

V' serves both. Shapes: x (N, H, W, C), w (3, 3, C, K), y (N, P, Q, K); tiles count along rows t
(down) and columns u (across).

There are two schedules (winograd_cuts.py says where each cuts the work). Most layers are cut into
strips of tile rows, so that V and M of a strip stay in the cache. Deep layers, where U would be
larger than the images, are cut into chunks of channels, so that U never exists whole.
"""

import numpy as np

from cunet.engines.cpu.buffers import empty, scratch
from cunet.engines.cpu.winograd_cuts import (
    channels_of,
    chunks_of,
    deep,
    grouped,
    shares,
    strips,
)
from cunet.engines.cpu.winograd_tiles import (
    AT,
    BT,
    PATCH,
    TILE,
    TO_U,
    TO_U_TURNED,
    filters_to_u,
    from_tiles,
    products,
    products_of_tiles,
    tiles_along,
    to_tiles,
    u_to_filters,
)
from cunet.engines.images import as_images, output_size, split_channels
from cunet.errors import CunetError
from cunet.ops.padding import border
from cunet.threads import fixed_sums, parallel

SIZE = (3, 3)  # the only filters this takes


@fixed_sums
def conv_forward(
    x: np.ndarray | tuple[np.ndarray, ...],
    w: np.ndarray,
    b: np.ndarray,
    padding: str = "valid",
    relu: bool = False,
) -> np.ndarray:
    """y (N, P, Q, K), as definition.conv_forward."""
    images, before = checked(x, w, padding), 1 if padding == "same" else 0
    (n, height, width), (c, k) = images[0].shape[:3], w.shape[2:]
    y = empty((n, height + 2 * before - 2, width + 2 * before - 2, k), w.dtype)
    down, across = tiles_along(y.shape[1]), tiles_along(y.shape[2])
    at, bt = AT.astype(w.dtype), BT.astype(w.dtype)

    def multiply(v: np.ndarray, u: np.ndarray, i: int, first: int, channels: slice) -> None:
        m = scratch("m", (*v.shape[:4], u.shape[2]), w.dtype)
        products(v, u, m)
        m[1, 1] += b[channels]
        from_tiles(at, m, first, y[i, ..., channels], relu)

    if not deep(down * across, c, k):
        u = all_filters_to_u(TO_U, w)

        def one_strip(piece: tuple[int, int, int]) -> None:
            i, first, last = piece
            v = scratch("v", (PATCH, PATCH, last - first, across, c), w.dtype)
            for image, here, there in channels_of(images):
                to_tiles(bt, image[i, ..., here], TILE * first - before, -before, v[..., there])
            multiply(v, u, i, first, slice(None))

        parallel(one_strip, strips(n, down, across, c + k, w.itemsize))
        return y

    v = empty((n, PATCH, PATCH, down, across, c), w.dtype)

    def transform(piece: tuple) -> None:
        i, (image, here, there) = piece
        to_tiles(bt, image[i, ..., here], -before, -before, v[i, ..., there])

    def one_chunk(piece: tuple) -> None:
        i, (_, channels, _) = piece
        part = w[..., channels]
        u = scratch("u", (PATCH * PATCH, *part.shape[2:]), w.dtype)
        filters_to_u(TO_U, part, u)
        multiply(v[i], u, i, 0, channels)

    parallel(transform, [(i, part) for i in range(n) for part in chunks_of(images)])
    parallel(one_chunk, [(i, part) for i in range(n) for part in chunks_of((y,))])
    return y


@fixed_sums
def conv_backward(
    dy: np.ndarray,
    x: np.ndarray | tuple[np.ndarray, ...],
    w: np.ndarray,
    y: np.ndarray | None = None,
    padding: str = "valid",
    input_gradient: bool = True,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """dx (N, H, W, C) or None, dw (3, 3, C, K) and db (K), as definition.conv_backward."""
    images, before = checked(x, w, padding), 1 if padding == "same" else 2
    (n, height, width), (c, k) = images[0].shape[:3], w.shape[2:]
    dx = empty((n, height, width, c), dy.dtype) if input_gradient else None
    dw = empty(w.shape, dy.dtype)
    down, across = tiles_along(height), tiles_along(width)
    at, bt = AT.astype(dy.dtype), BT.astype(dy.dtype)
    a = np.ascontiguousarray(at.T)

    def transform(i: int, rows: tuple[int, int], channels: slice, v: np.ndarray) -> np.ndarray:
        """V' of dy, taken back through the ReLU if there was one; and these rows' share of db."""
        top, stop = (TILE * row - before for row in rows)
        low, high = max(0, top), min(dy.shape[1], stop + PATCH - TILE)
        dz = through_relu(
            dy[i, low:high, :, channels], None if y is None else y[i, low:high, :, channels]
        )
        to_tiles(bt, dz, top - low, -before, v)
        own = dz[: (stop if rows[1] < down else high) - low]
        return np.matmul(np.ones((1, own.shape[1]), dy.dtype), own).sum((0, 1))

    def multiply(
        v: np.ndarray, u: np.ndarray, parts: list, i: int, first: int, du: np.ndarray
    ) -> None:
        """dx of a piece from V' and U'; then its share dU' = X^T V', with X in the place of M."""
        m = scratch("m", (*v.shape[:4], u.shape[2]), dy.dtype)
        start = parts[0][2].start
        if dx is not None:
            products(v, u, m)
            from_tiles(at, m, first, dx[i, ..., start : start + u.shape[2]])
        for image, here, there in parts:
            channels = slice(there.start - start, there.stop - start)
            to_tiles(a, image[i, ..., here], TILE * first, 0, m[..., channels])
        products_of_tiles(m, v, du)

    if not deep(down * across, c, k):
        u = all_filters_to_u(TO_U_TURNED, w.swapaxes(2, 3))
        parts = list(channels_of(images))
        groups = grouped(strips(n, down, across, c + k, dy.itemsize))
        sums = empty((len(groups), PATCH * PATCH, c, k), dy.dtype)
        db = np.zeros((len(groups), k), dy.dtype)

        def one_group(number: int) -> None:
            for i, first, last in groups[number]:
                v = scratch("v", (PATCH, PATCH, last - first, across, k), dy.dtype)
                db[number] += transform(i, (first, last), slice(None), v)
                begun = (i, first, last) != groups[number][0]
                du = scratch("du", sums.shape[1:], dy.dtype) if begun else sums[number]
                multiply(v, u, parts, i, first, du)
                if begun:
                    sums[number] += du

        def fold(channels: slice) -> None:
            du = sums[0, :, channels]
            for more in sums[1:]:
                du += more[:, channels]
            u_to_filters(TO_U_TURNED, du, dw[:, :, channels])

        parallel(one_group, range(len(groups)))
        parallel(fold, shares(c, k))
        return dx, dw, db.sum(0)

    db = np.zeros((n, k), dy.dtype)
    v = empty((n, PATCH, PATCH, down, across, k), dy.dtype)

    def one_transform(piece: tuple) -> None:
        i, (_, channels, _) = piece
        db[i, channels] = transform(i, (0, down), channels, v[i, ..., channels])

    def one_chunk(part: tuple) -> None:
        shape = PATCH * PATCH, part[2].stop - part[2].start, k
        u, du = scratch("u", shape, dy.dtype), scratch("du", shape, dy.dtype)
        filters_to_u(TO_U_TURNED, w[:, :, part[2]], u)
        for i in range(n):
            multiply(v[i], u.swapaxes(1, 2), [part], i, 0, du)
            share = scratch("dw", (*SIZE, *shape[1:]), dy.dtype) if i else dw[:, :, part[2]]
            u_to_filters(TO_U_TURNED, du, share)
            if i:
                dw[:, :, part[2]] += share

    parallel(one_transform, [(i, part) for i in range(n) for part in chunks_of((dy,))])
    parallel(one_chunk, chunks_of(images))
    return dx, dw, db.sum(0)


def checked(x: np.ndarray | tuple, w: np.ndarray, padding: str) -> tuple[np.ndarray, ...]:
    """The images of x; CunetError where channels, padding or sizes do not fit."""
    border(SIZE, padding)  # raises the error for any other padding
    if w.shape[:2] != SIZE:
        raise CunetError(f"Winograd: filters are 3x3, found {w.shape[0]}x{w.shape[1]}; use strips")
    images = as_images(x)
    split_channels(w, images)
    if padding == "valid":
        output_size(images[0], w)
    return images


def all_filters_to_u(matrix: np.ndarray, w: np.ndarray) -> np.ndarray:
    """U (36, C, K) of the filters w (3, 3, C, K), by TO_U or TO_U_TURNED."""
    u = empty((PATCH * PATCH, *w.shape[2:]), w.dtype)
    parallel(lambda part: filters_to_u(matrix, w[:, :, part], u[:, part]), shares(*w.shape[2:]))
    return u


def through_relu(dy: np.ndarray, y: np.ndarray | None) -> np.ndarray:
    """dy where y > 0, else 0, in this thread's scratch; dy itself if there was no ReLU."""
    if y is None:
        return dy
    passed = np.greater(y, 0, out=scratch("passed", y.shape, np.dtype(bool)))
    return np.multiply(dy, passed, out=scratch("dz", dy.shape, dy.dtype))
