"""Direct convolution in machine code, line by line: nothing is gathered or transformed.

The taps of a line of filters read pixels that lie side by side, and so do their channels: of
x[p + r, q] and its neighbours, S C numbers in one run. A line of y is then

    y[p, q] = b + sum over r of x[p + r, q:q + S] @ w[r]        w[r] as (S C, K)

of which six pixels and 16 channels are computed at a time, in registers (vectors.py). It is the
fastest where there are few input channels, and a filter of one tap makes it an up-convolution's
product, which writes each corner of the 2x2 blocks where it belongs (up_conv.py).
"""

import numpy as np

from cunet.engines.cpu import strips
from cunet.engines.cpu.buffers import empty
from cunet.engines.cpu.machine import BLOCK, addressable, mapped, takes
from cunet.engines.cpu.parts import parts
from cunet.engines.images import as_images, output_size, pad, split_channels
from cunet.threads import parallel

conv_backward = strips.conv_backward
SHORTEST = 12  # pixels of a line


def conv_forward(
    x: np.ndarray | tuple[np.ndarray, ...],
    w: np.ndarray,
    b: np.ndarray,
    padding: str = "valid",
    relu: bool = False,
) -> np.ndarray:
    """y (N, P, Q, K), as definition.conv_forward."""
    images, (taps, _, c, k) = pad(as_images(x), w.shape[:2], padding), w.shape
    split_channels(w, images)
    rows, columns = output_size(images[0], w)
    source = addressable(images[0])
    side_by_side = source.strides[2] == c * source.itemsize
    plain = len(images) == 1 and columns >= SHORTEST and side_by_side and b.shape == (k,)
    if not plain or not takes((k,), (source, w)):
        return strips.conv_forward(x, w, b, padding, relu)
    y, u = empty((len(source), rows, columns, k), w.dtype), in_blocks(w)

    def one(part: tuple[slice, slice]) -> None:
        (image, strip), (n, lines) = part, (part[0].start, part[1].start)
        multiply(source[n, lines : strip.stop + taps - 1], u, b, y[image, strip][0], relu)

    parallel(one, parts(y))
    return y


def multiply(x: np.ndarray, u: np.ndarray, b: np.ndarray, y: np.ndarray, relu: bool) -> None:
    """y (P, Q, K) of the lines of x (P + R - 1, W, C) and u (K / 16, R, S C, 16)."""
    from cunet.engines.cpu import line_kernels as loops

    bias, least = np.ascontiguousarray(b, u.dtype), np.array([0 if relu else -np.inf], u.dtype)
    plan = (*y.shape, *u.shape[1:3], *mapped(x), *mapped(y))
    loops.multiply(np.array([*plan, *(a.ctypes.data for a in (u, bias, least))]))


def in_blocks(w: np.ndarray) -> np.ndarray:
    """Filters (R, S, C, K) as (K / 16, R, S C, 16)."""
    r, s, c, k = w.shape
    blocks = w.reshape(r, s * c, k // BLOCK, BLOCK).transpose(2, 0, 1, 3)
    return np.ascontiguousarray(blocks)
