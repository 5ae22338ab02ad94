"""The definition of convolution on strips of rows, several strips at a time.

The nine shifted products of `ops.conv` read the image nine times and add nine results. On a strip
of a few rows all of that stays in the processor's cache, and strips are independent, so threads
share them. The partition depends on the shapes alone and every sum is formed by one thread
in a fixed order: the result is the same for any number of threads.
"""

import numpy as np

from cunet.engines.cpu.buffers import empty, scratch
from cunet.engines.cpu.parts import parts
from cunet.engines.cpu.relu import relu_backward
from cunet.engines.images import as_images, output_size, pad, split_channels
from cunet.ops.padding import border
from cunet.threads import fixed_sums, parallel

GATHERED_CHANNELS = 3  # of x: up to this number, gathering the taps is faster in forward
TALL_PRODUCT = 64 * 128  # C K above which one tall product is faster than many small ones for dw


@fixed_sums
def conv_forward(
    x: np.ndarray | tuple[np.ndarray, ...],
    w: np.ndarray,
    b: np.ndarray,
    padding: str = "valid",
    relu: bool = False,
) -> np.ndarray:
    """y (N, P, Q, K), as definition.conv_forward."""
    images = pad(as_images(x), w.shape[:2], padding)
    rows, columns = output_size(images[0], w)
    y = empty((images[0].shape[0], rows, columns, w.shape[3]), w.dtype)
    filters, height = split_channels(w, images), w.shape[0]

    def one_strip(piece: tuple[int, slice]) -> None:
        n, strip = piece
        target = y[n, strip]
        if gathers(images, w):
            taps = gathered(images[0][n], strip, w.shape[:2], columns)
            np.matmul(taps.transpose(0, 2, 1), w.reshape(-1, w.shape[3]), out=target)
        else:
            by_taps(n, strip, target)
        target += b
        if relu:
            np.maximum(target, 0, out=target)

    def by_taps(n: int, strip: slice, target: np.ndarray) -> None:
        product = np.empty_like(target)
        first = True
        for image, part in zip(images, filters, strict=True):
            for r in range(height):
                source = image[n, strip.start + r : strip.stop + r]
                for s in range(w.shape[1]):
                    out = target if first else product
                    np.matmul(source[:, s : s + columns], part[r, s], out=out)
                    if not first:
                        np.add(target, product, out=target)
                    first = False

    parallel(one_strip, pieces(y))
    return y


def gathers(images: tuple[np.ndarray, ...], w: np.ndarray) -> bool:
    """Whether x has so few channels that gathering the taps is faster than nine thin products."""
    return w.shape[2] <= GATHERED_CHANNELS and len(images) == 1


def gathered(x: np.ndarray, strip: slice, size: tuple[int, int], columns: int) -> np.ndarray:
    """The pixels of x (H, W, C) that each tap reads for a strip: (rows, R S C, columns)."""
    (height, width), channels = size, x.shape[2]
    shape = (strip.stop - strip.start, height, width, channels, columns)
    taps = scratch("taps", shape, x.dtype)
    for r in range(height):
        for s in range(width):
            source = x[strip.start + r : strip.stop + r, s : s + columns]
            taps[:, r, s] = source.transpose(0, 2, 1)
    return taps.reshape(shape[0], -1, columns)


@fixed_sums
def conv_backward(
    dy: np.ndarray,
    x: np.ndarray | tuple[np.ndarray, ...],
    w: np.ndarray,
    y: np.ndarray | None = None,
    padding: str = "valid",
    input_gradient: bool = True,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """dx (None where it is not wanted), dw and db, as definition.conv_backward."""
    dy = dy if y is None else relu_backward(dy, y)
    dw = _by_weights(dy, as_images(x), w.shape, padding)
    return _by_data(dy, w, padding) if input_gradient else None, dw, bias_gradient(dy)


def _by_data(dy: np.ndarray, w: np.ndarray, padding: str) -> np.ndarray:
    """dx (N, H, W, C). Read from x's side the sum is itself a convolution: of dy, surrounded by
    R - 1 zeros, with the filters turned by 180 degrees and their two channel axes exchanged."""
    (top, bottom), (left, right) = border(w.shape[:2], padding)
    height, width = w.shape[:2]
    around = ((height - 1 - top, height - 1 - bottom), (width - 1 - left, width - 1 - right))
    surrounded = np.pad(dy, ((0, 0), *around, (0, 0)))
    turned = np.ascontiguousarray(w[::-1, ::-1].swapaxes(2, 3))
    return conv_forward(surrounded, turned, np.zeros(w.shape[2], dy.dtype))


def _by_weights(
    dy: np.ndarray, images: tuple[np.ndarray, ...], shape: tuple[int, ...], padding: str
) -> np.ndarray:
    """dw (R, S, C, K); one piece of work per tap."""
    (_, rows, columns, k), size = dy.shape, (shape[0], shape[1])
    dw = np.empty(shape, dy.dtype)
    padded, dws = pad(images, size, padding), split_channels(dw, images)
    if gathers(images, dw):
        cut = pieces(dy)
        sums = np.empty((len(cut), size[0] * size[1] * dw.shape[2], k), dy.dtype)

        def one_strip(number: int) -> None:
            n, strip = cut[number]
            taps = gathered(padded[0][n], strip, size, columns)
            sums[number] = np.matmul(taps, dy[n, strip]).sum(0)

        parallel(one_strip, range(len(cut)))
        return sums.sum(0).reshape(dw.shape)

    columns_of_dy = np.ascontiguousarray(dy).reshape(-1, k)

    def one_tap(piece: tuple[int, int, int]) -> None:
        i, r, s = piece
        tap = padded[i][:, r : r + rows, s : s + columns]
        if tap.shape[3] * k > TALL_PRODUCT:
            np.matmul(tap.reshape(-1, tap.shape[3]).T, columns_of_dy, out=dws[i][r, s])
        else:
            dws[i][r, s] = np.matmul(tap.swapaxes(2, 3), dy).sum((0, 1))

    taps = [(i, r, s) for i in range(len(images)) for r in range(size[0]) for s in range(size[1])]
    parallel(one_tap, taps)
    return dw


def bias_gradient(dy: np.ndarray) -> np.ndarray:
    """db: one vector-matrix product is many times faster than a sum over three axes."""
    rows = np.ascontiguousarray(dy).reshape(-1, dy.shape[3])
    return (np.ones((1, len(rows)), dy.dtype) @ rows)[0]


def pieces(y: np.ndarray) -> list[tuple[int, slice]]:
    """(n, rows) of every strip of a batch of images."""
    return [(image.start, rows) for image, rows in parts(y)]
