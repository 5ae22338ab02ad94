"""The parts of Winograd's F(4x4, 3x3): images to tiles at six by six points, products, and back.

A transform multiplies rows, then columns, by a small matrix. Every step is a numpy.matmul on a
strided view: overlapping patches are read in place, results are written where they belong. Shapes:
an image is (H, W, C); tiles are (6, 6, t, u, C), t of them down and u across.
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from cunet.engines.cpu.buffers import scratch

POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)  # and infinity
TAPS, TILE, PATCH = 3, 4, 6  # PATCH = TILE + TAPS - 1, the number of points
# multiplications in the largest product that OpenBLAS forms without packing: 110 against 80 GFLOP/s
UNPACKED_PRODUCT = 1_000_000
COLUMNS_AT_ONCE = 1024  # of filters that are transformed at a time
UNPACKED_ROW = 27_000  # longest row that OpenBLAS multiplies by a 6x6 matrix without packing


def toom_cook(points: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """AT (4, 6), G (6, 3) and BT (6, 6) for five points and infinity, in float64.

    Row i of G evaluates the taps at point i, divided by the product of its distances to the other
    points; row i of BT has the coefficients of the product of (z - other points); AT has powers.
    """
    p = np.array(points)
    others = [np.delete(p, i) for i in range(len(p))]
    scale = np.array([np.prod(p[i] - others[i]) for i in range(len(p))])
    at = np.array([np.append(p**k, k == TILE - 1) for k in range(TILE)])
    g = np.vstack([p[:, None] ** np.arange(TAPS) / scale[:, None], [0, 0, 1]])
    bt = np.array([np.append(np.poly(o)[::-1], 0) for o in others] + [np.poly(p)[::-1]])
    return at, g, bt


AT, G, BT = toom_cook(POINTS)
TO_U = np.kron(G, G)  # (36, 9): the nine taps of a filter to U
TO_U_TURNED = TO_U[:, ::-1]  # the same for the filter turned by 180 degrees


def tiles_along(pixels: int) -> int:
    """How many tiles cover this many pixels; the last may reach beyond them."""
    return -(-pixels // TILE)


def filters_to_u(matrix: np.ndarray, w: np.ndarray, u: np.ndarray) -> None:
    """U (36, C, K) of the filters w (3, 3, C, K), by TO_U or TO_U_TURNED, written into u."""
    _columns(matrix.astype(w.dtype), w.reshape(9, -1), u.reshape(len(u), -1))


def u_to_filters(matrix: np.ndarray, u: np.ndarray, w: np.ndarray) -> None:
    """The transposed step: the gradient (3, 3, C, K) of the filters from that of U, into w."""
    _columns(matrix.T.astype(u.dtype), u.reshape(len(u), -1), w.reshape(9, -1))


def _columns(matrix: np.ndarray, a: np.ndarray, out: np.ndarray) -> None:
    """out = matrix @ a, in pieces so narrow that BLAS need not pack them: twice as fast."""
    whole = a.shape[1] // COLUMNS_AT_ONCE * COLUMNS_AT_ONCE
    pieces = a[:, :whole].reshape(len(a), -1, COLUMNS_AT_ONCE).swapaxes(0, 1)
    np.matmul(
        matrix, pieces, out=out[:, :whole].reshape(len(out), -1, COLUMNS_AT_ONCE).swapaxes(0, 1)
    )
    np.matmul(matrix, a[:, whole:], out=out[:, whole:])


def to_tiles(matrix: np.ndarray, x: np.ndarray, top: int, left: int, tiles: np.ndarray) -> None:
    """tiles[i, j, t, u] = sum over a, b of matrix[i, a] matrix[j, b] x[top + 4 t + a,
    left + 4 u + b]; x (H, W, C) counts as zero outside."""
    taps, (_, _, down, across, c) = matrix.shape[1], tiles.shape
    rows = TILE * (down - 1) + taps
    low, high = max(top, 0), max(0, min(top + rows, len(x)))
    half = scratch("half", (PATCH, rows, across, c), x.dtype)
    if top < 0:
        half[:, :-top] = 0
    if high < top + rows:
        half[:, max(0, high - top) :] = 0
    if low < high:
        _across(matrix, x[low:high], left, half[:, low - top : high - top])
    s = half.strides
    patches = as_strided(half, (PATCH, down, taps, across, c), (s[0], TILE * s[1], *s[1:]))
    _down(matrix, patches, tiles.transpose(1, 2, 0, 3, 4))


def from_tiles(
    at: np.ndarray, tiles: np.ndarray, first: int, y: np.ndarray, relu: bool = False
) -> None:
    """y[4 (first + t) + p, 4 u + q] = sum over i, j of AT[p, i] AT[q, j] tiles[i, j, t, u], as far
    as y (P, Q, K) reaches; followed by a ReLU while it is in the cache."""
    _, _, down, across, k = tiles.shape
    half = scratch("half", (PATCH, down, TILE, across, k), tiles.dtype)
    _down(at, tiles.transpose(1, 2, 0, 3, 4), half)
    target = y[TILE * first : TILE * (first + down)]
    rows, whole = len(target), y.shape[1] // TILE
    half = half.reshape(PATCH, TILE * down, across, k)[:, :rows]
    inside = target[:, : TILE * whole].reshape(rows, whole, TILE, k)  # a view: an axis is split
    np.matmul(at, half[:, :, :whole].transpose(1, 2, 0, 3), out=inside)
    if whole < across:  # the last tile is cut by the border of y
        rest = target[:, TILE * whole :]
        np.matmul(at[: rest.shape[1]], half[:, :, whole].swapaxes(0, 1), out=rest)
    if relu:
        np.maximum(target, 0, out=target)


def products(v: np.ndarray, u: np.ndarray, m: np.ndarray) -> None:
    """m (6, 6, t, u, K) = v (6, 6, t, u, C) @ u (36, C, K) at every point."""
    v, m = flat(v), flat(m)
    n, whole = blocks(v.shape[1], u.shape[1] * u.shape[2], fewest=24)
    np.matmul(cut(v, n, whole), u[:, None], out=cut(m, n, whole))
    if whole < v.shape[1]:
        np.matmul(v[:, whole:], u, out=m[:, whole:])


def products_of_tiles(m: np.ndarray, v: np.ndarray, du: np.ndarray) -> None:
    """du (36, C, K) = m (6, 6, t, u, C)^T @ v (6, 6, t, u, K), summed over all tiles."""
    m, v = flat(m).swapaxes(1, 2), flat(v)
    n, _ = blocks(v.shape[1], du.shape[1] * du.shape[2], fewest=96)
    np.matmul(m[..., :n], v[:, :n], out=du)
    for first in range(n, v.shape[1], n):
        more = scratch("more", du.shape, du.dtype)
        du += np.matmul(m[..., first : first + n], v[:, first : first + n], out=more)


def blocks(tiles: int, matrix: int, fewest: int) -> tuple[int, int]:
    """(tiles in a block, tiles in all whole blocks); `matrix`: elements of the other factor.

    The blocks are small enough for BLAS not to pack them; where that would leave fewer than
    `fewest` tiles in each, there is one block.
    """
    most = UNPACKED_PRODUCT // matrix
    if not fewest <= most < tiles:
        return tiles, tiles
    n = -(-tiles // -(-tiles // most))  # as equal as can be
    return n, tiles // n * n


def cut(a: np.ndarray, n: int, whole: int) -> np.ndarray:
    """The first `whole` tiles of a (36, tiles, C) as (36, blocks, n, C)."""
    return a[:, :whole].reshape(len(a), -1, n, a.shape[2])


def flat(tiles: np.ndarray) -> np.ndarray:
    """(6, 6, t, u, C) as (36, t u, C)."""
    return tiles.reshape(PATCH * PATCH, -1, tiles.shape[-1])


def _across(matrix: np.ndarray, x: np.ndarray, left: int, out: np.ndarray) -> None:
    """out[i, h, u] = sum over b of matrix[i, b] x[h, left + 4 u + b]."""
    taps, (rows, width, c), across = matrix.shape[1], x.shape, out.shape[2]
    first = min(max(0, -(left // TILE)), across)  # the first tile that lies inside
    last = max(first, min(across, (width - left - taps) // TILE + 1))
    if first < last:
        inside, s = x[:, left + TILE * first :], x.strides
        patches = as_strided(inside, (rows, last - first, taps, c), (s[0], TILE * s[1], *s[1:]))
        np.matmul(matrix, patches, out=out[:, :, first:last].transpose(1, 2, 0, 3))
    for u in (*range(first), *range(last, across)):
        start = left + TILE * u
        low, high = max(start, 0), min(start + taps, width)
        part = matrix[:, low - start : high - start]
        np.matmul(part, x[:, low:high], out=out[:, :, u].swapaxes(0, 1))


def _down(matrix: np.ndarray, source: np.ndarray, target: np.ndarray) -> None:
    """target[..., i, u, c] = sum over a of matrix[i, a] source[..., a, u, c]."""
    s, t = _joined(source), _joined(target)
    if s is not None and t is not None:
        np.matmul(matrix, s, out=t)
    else:
        np.matmul(matrix, source.swapaxes(-3, -2), out=target.swapaxes(-3, -2))


def _joined(a: np.ndarray) -> np.ndarray | None:
    """a (..., u, C) as a view (..., u C) where these lie side by side and are short, else None."""
    across, c = a.shape[-2:]
    if a.strides[-2:] != (c * a.itemsize, a.itemsize) or across * c > UNPACKED_ROW:
        return None
    return a.reshape(*a.shape[:-2], across * c)
