"""Winograd's F(4x4, 3x3) in machine code, all steps for a few tiles at a time.

The formulas are those of winograd.py. There NumPy transforms strips of images of many tiles, and
BLAS multiplies them. With few channels that is slow: a product of 16 x 16 channels is over before
BLAS has begun, a 6x6 matrix of transforms is multiplied as if it were full, and every step reads
and writes V or M in the outer cache. Here 24 tiles go through all steps while they are in the inner
one (winograd_kernels.py), with products and transforms in vector registers (winograd_words.py).

It takes float32 and multiples of 16 channels, and hands everything else to winograd.py; also where
Numba cannot be used.
"""

from types import ModuleType

import numpy as np

from cunet.engines.cpu import winograd
from cunet.engines.cpu.buffers import empty, scratch
from cunet.engines.cpu.machine import BLOCK, addressable, mapped, takes
from cunet.engines.cpu.winograd import SIZE, checked
from cunet.engines.cpu.winograd_tiles import (
    PATCH,
    TO_U,
    TO_U_TURNED,
    filters_to_u,
    tiles_along,
    u_to_filters,
)
from cunet.threads import fixed_sums, parallel

PIECES = 16  # of an image's tiles, for the threads
GROUPS = 8  # of a batch's tiles, each with its own partial sum of dU


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
    loops = machine_code(images, w)
    if loops is None or b.shape != w.shape[3:]:
        return winograd.conv_forward(x, w, b, padding, relu)
    images = tuple(addressable(image) for image in images)
    (n, height, width), (c, k) = images[0].shape[:3], w.shape[2:]
    y = empty((n, height + 2 * before - 2, width + 2 * before - 2, k), w.dtype)
    down, across = tiles_along(y.shape[1]), tiles_along(y.shape[2])
    u, bias = blocks_of_u(TO_U, w), np.ascontiguousarray(b, w.dtype)
    least = np.array([0 if relu else -np.inf], w.dtype)

    def one(piece: tuple[int, int, int]) -> None:
        i, first, last = piece
        plan = work(loops, c, k, images, before, across, first, last)
        for place, array in ((loops.U, u), (loops.BIAS, bias), (loops.LEAST, least)):
            plan[place] = array.ctypes.data
        plan[loops.P], plan[loops.Q] = y.shape[1:3]
        plan[loops.Y : loops.Y + loops.MAP] = mapped(y[i])
        loops.forward(np.array([(*mapped(image[i]), image.shape[3]) for image in images]), plan)

    parallel(one, cut(n, down * across, loops.TILES, PIECES))
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
    given: tuple[np.ndarray, ...] = (dy,) if y is None else (dy, y)
    loops = machine_code(images, w, given)
    rows, columns = (side - 2 * (before - 1) for side in images[0].shape[1:3])
    if loops is None or {a.shape for a in given} != {(len(images[0]), rows, columns, w.shape[3])}:
        return winograd.conv_backward(dy, x, w, y, padding, input_gradient)
    images, given = tuple(map(addressable, images)), tuple(map(addressable, given))
    (n, height, width), (c, k) = images[0].shape[:3], w.shape[2:]
    dx = empty((n, height, width, c), w.dtype) if input_gradient else None
    down, across = tiles_along(height), tiles_along(width)
    u = blocks_of_u(TO_U_TURNED, w.swapaxes(2, 3))
    pieces = cut(n, down * across, loops.TILES, max(1, GROUPS // n))
    sums = empty((len(pieces), PATCH * PATCH, k // BLOCK, c, BLOCK), w.dtype)
    db, zeros = np.zeros((len(pieces), k), w.dtype), np.zeros(c, w.dtype)
    least = np.array([-np.inf], w.dtype)

    def one(number: int) -> None:
        i, first, last = pieces[number]
        plan = work(loops, c, k, images, before, across, first, last)
        sums[number] = 0
        plan[loops.DU], plan[loops.DB] = sums[number].ctypes.data, db[number].ctypes.data
        for place, array in ((loops.U, u), (loops.BIAS, zeros), (loops.LEAST, least)):
            plan[place] = array.ctypes.data
        plan[loops.P], plan[loops.Q] = dy.shape[1:3]
        for place, array in zip((loops.DY, loops.Y), given, strict=False):
            plan[place : place + loops.MAP] = mapped(array[i])
        if dx is not None:
            plan[loops.DX : loops.DX + loops.MAP] = mapped(dx[i])
        loops.backward(np.array([(*mapped(image[i]), image.shape[3]) for image in images]), plan)

    parallel(one, range(len(pieces)))
    dw = empty((*SIZE, k // BLOCK, c, BLOCK), w.dtype)
    u_to_filters(TO_U_TURNED, sums.sum(0), dw)
    return dx, np.ascontiguousarray(dw.swapaxes(2, 3)).reshape(w.shape), db.sum(0)


def machine_code(
    images: tuple[np.ndarray, ...], w: np.ndarray, others: tuple[np.ndarray, ...] = ()
) -> ModuleType | None:
    """The compiled loops, or None where they cannot take these arrays; NumPy, which can or says
    why not, does."""
    channels = (*w.shape[2:], *(image.shape[3] for image in images))
    one_size = len({image.shape[:3] for image in images}) == 1
    if not one_size or not takes(channels, (*images, w, *others)):
        return None
    from cunet.engines.cpu import winograd_kernels

    return winograd_kernels


def work(
    loops: ModuleType,
    c: int,
    k: int,
    images: tuple,
    before: int,
    across: int,
    first: int,
    last: int,
) -> np.ndarray:
    """The plan of a piece of work, with this thread's scratch."""
    plan = np.zeros(loops.PLAN, np.int64)
    size = loops.POINTS // 4
    plan[: loops.P] = (
        c, k, 0, 0, 0,
        scratch("v", (max(c, k) // BLOCK, size), np.dtype(np.float32)).ctypes.data,
        scratch("m", (max(c, k) // BLOCK, size), np.dtype(np.float32)).ctypes.data,
        scratch("edge", (3, PATCH, PATCH, BLOCK), np.dtype(np.float32)).ctypes.data,
        before, across, first, last, *images[0].shape[1:3],
    )  # fmt: skip
    return plan


def blocks_of_u(matrix: np.ndarray, w: np.ndarray) -> np.ndarray:
    """U of the filters w (3, 3, C, K) as (36, K / 16, C, 16)."""
    c, k = w.shape[2:]
    blocks = w.reshape(*SIZE, c, k // BLOCK, BLOCK).swapaxes(2, 3)
    u = empty((PATCH * PATCH, k // BLOCK, c, BLOCK), w.dtype)
    filters_to_u(matrix, np.ascontiguousarray(blocks), u)
    return u


def cut(n: int, tiles: int, step: int, most: int) -> list[tuple[int, int, int]]:
    """(image, first tile, end) of up to `most` pieces of each image, of whole steps of tiles."""
    step *= max(1, -(-tiles // (step * most)))
    return [(i, t, min(t + step, tiles)) for i in range(n) for t in range(0, tiles, step)]
