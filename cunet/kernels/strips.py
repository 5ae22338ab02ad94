"""The definition of convolution on strips of rows, several strips at a time.

The nine shifted products of `ops.conv` read the image nine times and add nine results. On a strip
of a few rows all of that stays in the processor's cache, and strips are independent, so threads
take them in turn. The partition depends on the shapes alone and every sum is formed by one thread
in a fixed order: the result is the same for any number of threads.
"""

import numpy as np

from cunet.ops import conv
from cunet.threads import fixed_sums, parallel, strips

FEW = 3  # channels of x up to which gathering wins in forward
LARGE = 64 * 128  # C * K above which one tall product beats many small ones in backward_weights


@fixed_sums
def forward(
    x: np.ndarray | tuple[np.ndarray, ...], w: np.ndarray, b: np.ndarray, padding: str = "valid"
) -> np.ndarray:
    """y (N, P, Q, K), as ops.conv.forward."""
    images = conv.pad(conv.as_images(x), w, padding)
    rows, columns = conv.output_size(images[0], w)
    y = np.empty((images[0].shape[0], rows, columns, w.shape[3]), w.dtype)
    filters, height = conv.split_channels(w, images), w.shape[0]
    if w.shape[2] <= FEW and len(images) == 1:
        parallel(lambda piece: few_channels(images[0], w, b, y, *piece), pieces(y))
        return y

    def one_strip(piece: tuple[int, slice]) -> None:
        n, strip = piece
        target = y[n, strip]
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
        np.add(target, b, out=target)

    parallel(one_strip, pieces(y))
    return y


def few_channels(x: np.ndarray, w: np.ndarray, b: np.ndarray, y: np.ndarray, n: int, strip: slice):
    """One strip of y where x has few channels: nine thin products would waste the processor.

    What every tap sees is gathered beside each other first, and one product does the rest.
    """
    (height, width, channels, k), columns = w.shape, y.shape[2]
    seen = np.empty((height, width, channels, strip.stop - strip.start, columns), x.dtype)
    for r in range(height):
        for s in range(width):
            source = x[n, strip.start + r : strip.stop + r, s : s + columns]
            seen[r, s] = source.transpose(2, 0, 1)
    by_pixel = seen.reshape(-1, *seen.shape[3:]).transpose(1, 2, 0)
    np.matmul(by_pixel, w.reshape(-1, k), out=y[n, strip])
    y[n, strip] += b


@fixed_sums
def backward_data(dy: np.ndarray, w: np.ndarray, padding: str = "valid") -> np.ndarray:
    """dx (N, H, W, C), as ops.conv.backward_data.

    Read from x's side the sum is itself a convolution: of dy, surrounded by R - 1 zeros, with the
    filters turned by 180 degrees and their two channel axes exchanged.
    """
    conv.check_padding(padding)
    height, width = w.shape[:2]
    top, left = ((height - 1) // 2, (width - 1) // 2) if padding == "same" else (0, 0)
    bottom, right = (height // 2, width // 2) if padding == "same" else (0, 0)
    border = ((height - 1 - top, height - 1 - bottom), (width - 1 - left, width - 1 - right))
    surrounded = np.pad(dy, ((0, 0), *border, (0, 0)))
    turned = np.ascontiguousarray(w[::-1, ::-1].swapaxes(2, 3))
    return forward(surrounded, turned, np.zeros(w.shape[2], dy.dtype))


@fixed_sums
def backward_weights(
    x: np.ndarray | tuple[np.ndarray, ...],
    dy: np.ndarray,
    size: tuple[int, int],
    padding: str = "valid",
) -> tuple[np.ndarray, np.ndarray]:
    """dw (R, S, C, K) and db (K), as ops.conv.backward_weights; one piece of work per tap."""
    images, (_, rows, columns, k) = conv.as_images(x), dy.shape
    dw = np.empty((*size, sum(image.shape[3] for image in images), k), dy.dtype)
    padded, parts = conv.pad(images, dw, padding), conv.split_channels(dw, images)
    columns_of_dy = np.ascontiguousarray(dy).reshape(-1, k)

    def one_tap(piece: tuple[int, int, int]) -> None:
        i, r, s = piece
        tap = padded[i][:, r : r + rows, s : s + columns]
        if tap.shape[3] * k > LARGE:
            np.matmul(tap.reshape(-1, tap.shape[3]).T, columns_of_dy, out=parts[i][r, s])
        else:
            parts[i][r, s] = np.matmul(tap.swapaxes(2, 3), dy).sum((0, 1))

    taps = [(i, r, s) for i in range(len(images)) for r in range(size[0]) for s in range(size[1])]
    parallel(one_tap, taps)
    return dw, bias_gradient(dy)


def backward(
    x: np.ndarray | tuple[np.ndarray, ...],
    dy: np.ndarray,
    w: np.ndarray,
    padding: str = "valid",
    input_gradient: bool = True,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """dx (None where it is not wanted), dw and db, as ops.conv.backward."""
    dw, db = backward_weights(x, dy, w.shape[:2], padding)
    return backward_data(dy, w, padding) if input_gradient else None, dw, db


def bias_gradient(dy: np.ndarray) -> np.ndarray:
    """db: one vector-matrix product is many times faster than a sum over three axes."""
    rows = np.ascontiguousarray(dy).reshape(-1, dy.shape[3])
    return (np.ones((1, len(rows)), dy.dtype) @ rows)[0]


def pieces(y: np.ndarray) -> list[tuple[int, slice]]:
    """(n, rows) of every strip of a batch of images."""
    n, rows, columns, channels = y.shape
    return [(i, s) for i in range(n) for s in strips(rows, columns * channels * y.itemsize)]
