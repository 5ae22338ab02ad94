"""3x3 convolution on tensor cores: the wrappers of convolution.cu, warpgroup.cu and weights.cu,
which serve 2x2 up-convolutions as well (up_conv.py).

Images and their gradients are activations (see cuda.py); filters, biases and their gradients are
float32. One thing differs from the definition. What a layer of the U-Net takes has come out of a
ReLU, be it through pooling or dropout, which keep its zeros; only what an up-convolution made has
not. So conv_backward returns the gradient before that ReLU: it is zero wherever x is zero, and the
layer that made x need not look at its output again. Nothing here waits for the GPU.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from cunet.backend import Array, array_module
from cunet.engines.gpu import cuda
from cunet.engines.gpu.cuda import blocks, launch
from cunet.engines.gpu.elements import pack
from cunet.engines.gpu.sums import column_sums, sum_partials
from cunet.engines.images import as_images, output_size, split_channels
from cunet.errors import CunetError

BIAS, RELU, UP, REVERSE = 1, 2, 4, 8  # as in convolution.cu
MOST_PARTS = 8  # of the taps and channels, where a layer has too few pixels to fill a GPU
PARTIAL_BYTES = 64 << 20  # that partial sums of filters may take


@dataclass(frozen=True)
class Tile:
    """A kernel that makes rows x columns (pixels x output channels) of y in one block."""

    prefix: str  # "wg_" for the kernels of warpgroup.cu
    rows: int
    columns: int
    threads: int
    stages: int
    speed: float  # of the products, relative to the fastest tile: an estimate

    @property
    def shared(self) -> int:
        """Bytes of shared memory, with what it takes to align them."""
        return (self.rows + self.columns) * 128 * self.stages + 1024

    def name(self, what: str) -> str:
        """The kernel that does `what`: conv, up or up_by_data."""
        return f"{self.prefix}{what}_{self.rows}x{self.columns}"


TILES = (
    Tile("", 128, 128, 256, 3, 1.0),
    Tile("", 128, 64, 128, 3, 0.85),
    Tile("", 64, 64, 128, 4, 0.7),
)
WARPGROUP_TILES = (
    Tile("wg_", 128, 128, 256, 4, 1.0),
    Tile("wg_", 256, 64, 512, 4, 0.95),
    Tile("wg_", 128, 64, 256, 4, 0.85),
)


def tiles() -> tuple[Tile, ...]:
    """The kernels that this GPU has."""
    if cuda.capability() == cuda.WARPGROUP_CAPABILITY:
        return WARPGROUP_TILES
    room = cuda.shared_memory()
    return tuple(tile for tile in TILES if tile.shared <= room)


def choose(pixels: int, channels: int, steps: int) -> tuple[Tile, int]:
    """The tile, and the parts of the `steps` along taps and channels, that finish soonest.

    A GPU takes as many blocks at once as it has multiprocessors (or twice that); the last round
    takes as long as a full one. Parts fill it where there are too few blocks, at the price of
    writing and reading partial sums.
    """
    processors, best = cuda.processors(), None
    for tile in tiles():
        grid = blocks(pixels, tile.rows) * blocks(channels, tile.columns)
        for parts in range(1, min(MOST_PARTS, max(1, steps // 8)) + 1):
            if parts > 1 and grid * (parts - 1) >= processors:
                break
            rounds = blocks(grid * parts, processors)
            work = tile.rows * tile.columns / tile.speed * blocks(steps, parts)
            sums = pixels * channels * parts / processors * 0.5 if parts > 1 else 0
            cost = rounds * work + sums
            if best is None or cost < best[0]:
                best = cost, tile, parts
    return best[1:]


def conv_forward(
    x: Array | tuple[Array, ...],
    w: Array,
    b: Array,
    padding: str = "valid",
    relu: bool = False,
) -> Array:
    """y (N, P, Q, K), as definition.conv_forward."""
    pictures = check(x, w, padding)
    n, height, width, _ = pictures[0].shape
    (rows, columns), k = output_size(pictures[0], w), w.shape[3]
    y = array_module(w).empty((n, rows, columns, k), pictures[0].dtype)
    launch_product(
        "conv", pictures, pack(w, y.dtype, transposed=True), (w.shape[2], k * w.shape[2]),
        [y], (rows, columns), bias=b, flags=BIAS | RELU * relu,
    )  # fmt: skip
    return y


def conv_backward(
    dy: Array,
    x: Array | tuple[Array, ...],
    w: Array,
    y: Array | None = None,
    padding: str = "valid",
    input_gradient: bool = True,
) -> tuple[Array | tuple[Array, ...] | None, Array, Array]:
    """dx (None where it is not wanted), dw and db, as definition.conv_backward.

    dy has been through this layer's own ReLU where it was made, so y is not looked at.
    """
    dw, db = by_weights(dy, x, w.shape[:2])
    return by_data(dy, w, x) if input_gradient else None, dw, db


def by_data(
    dy: Array, w: Array, x: Array | tuple[Array, ...] | None = None
) -> Array | tuple[Array, ...]:
    """dx (N, H, W, C); with x, zero where x is (see above).

    Where x is a pair (up, skip) so is dx, and only the skip's gradient is masked.
    """
    xp, (n, rows, columns, k), c = array_module(dy), dy.shape, w.shape[2]
    height, width = rows + w.shape[0] - 1, columns + w.shape[1] - 1
    parts = as_images(x) if x is not None else None
    channels = [part.shape[3] for part in parts] if parts else [c]
    dx = [xp.empty((n, height, width, one), dy.dtype) for one in channels]
    launch_product(
        "conv", (dy,), pack(w, dy.dtype, transposed=False), (k, c * k), dx,
        (height, width), mask=parts[-1] if parts else None, pad=w.shape[0] - 1, flags=REVERSE,
    )  # fmt: skip
    return tuple(dx) if len(dx) > 1 else dx[0]


def by_weights(
    dy: Array, x: Array | tuple[Array, ...], size: tuple[int, int]
) -> tuple[Array, Array]:
    """dw (R, S, C, K) and db (K) in float32, for filters of size (R, S)."""
    pictures, k = as_images(x), dy.shape[3]
    c = sum(picture.shape[3] for picture in pictures)
    dw = launch_by_weights("conv", pictures, dy, (*size, c, k))
    return dw, column_sums(dy)


def check(x: Array | tuple[Array, ...], w: Array, padding: str) -> tuple[Array, ...]:
    """x as a tuple; CunetError where these kernels cannot take it."""
    pictures = as_images(x)
    split_channels(w, pictures)  # which says what is wrong with other channels
    least = 16 // pictures[0].dtype.itemsize
    channels = [*(picture.shape[3] for picture in pictures), w.shape[3]]
    if padding != "valid" or any(one % least for one in channels):
        raise CunetError(
            f"tensor cores: expected padding 'valid' and channels in multiples of {least}, found "
            f"'{padding}' and {channels}; use precision float32"
        )
    return pictures


def launch_product(
    what: str,
    pictures: tuple[Array, ...],
    w: Array,
    strides: tuple[int, int],
    results: list[Array],
    size: tuple[int, int],
    bias: Array | None = None,
    mask: Array | None = None,
    pad: int = 0,
    flags: int = 0,
    channels: int | None = None,
) -> None:
    """Launch convolution.cu's `what`. strides: of w, between output channels and between taps;
    size: of the grid of output pixels; channels: of the product, the results' together unless
    given."""
    x, second = pictures[0], pictures[1] if len(pictures) > 1 else None
    y, other = results[0], results[1] if len(results) > 1 else None
    n, height, width, c = x.shape
    k1 = channels or y.shape[3]
    k = k1 + (other.shape[3] if other is not None else 0)
    pixels, each = n * size[0] * size[1], 128 // x.dtype.itemsize
    taps = {"conv": 9, "up": 1, "up_by_data": 4}[what]
    steps = taps * sum(blocks(picture.shape[3], each) for picture in pictures)
    tile, parts = choose(pixels, k, steps)
    partial = array_module(x).empty((parts, pixels, k), np.float32) if parts > 1 else None
    problem = (
        x, second, w, bias, mask, y, other, partial, n, height, width,
        c, *pitches(x), second.shape[3] if second is not None else 0, *pitches(second),
        k1, k - k1, *strides, *pitches(mask), pad, flags,
    )  # fmt: skip
    grid = blocks(pixels, tile.rows), blocks(k, tile.columns), parts
    launch(x, tile.name(what), grid, tile.threads, *problem, shared=tile.shared)
    if parts > 1:
        threads = blocks(pixels * k, 2)
        launch(x, "convolve_finish", blocks(threads, 256), 256, *problem, *size, parts)


def launch_by_weights(
    what: str, pictures: tuple[Array, ...], dy: Array, shape: tuple[int, ...]
) -> Array:
    """Launch weights.cu's `what` for each image and add up its parts: dw of this shape."""
    xp, (c, k) = array_module(dy), shape[2:]
    n, height, width, _ = pictures[0].shape
    columns, rows = (64, 3) if what == "conv" else (128, 4)
    step = 128 // dy.dtype.itemsize  # pixels
    # a stage: x, with 2 pixels more where taps are neighbours, and dy in panels of 64 channels
    x_row = columns * 4 + 32 if dy.dtype == np.float32 else columns * 2
    x_bytes = blocks(step + (2 if what == "conv" else 0), 8) * 8 * x_row
    panel = step * (288 if dy.dtype == np.float32 else 128)

    def shared(panels: int) -> int:
        return 3 * blocks(panels * panel + x_bytes, 128) * 128 + 1024

    # warps along k, with 64 channels each
    wide = 2 if k > 64 and shared(2) <= cuda.shared_memory() else 1
    grid = blocks(k, 64 * wide), blocks(max(p.shape[3] for p in pictures), columns)
    steps = blocks(n * height * width, step)
    parts = max(1, 2 * cuda.processors() // (grid[0] * grid[1] * rows))
    parts = min(parts, max(1, PARTIAL_BYTES // (4 * int(np.prod(shape)))), blocks(steps, 8))
    sums = xp.empty((parts, *shape), np.float32)
    first = 0
    for x in pictures:
        launch(
            dy, f"{what}_by_weights_{64 * wide}",
            (grid[0], blocks(x.shape[3], columns), rows * parts), 128 * wide,
            x, dy, sums, n, height, width, x.shape[3], *pitches(x), k, first, c, parts,
            shared=shared(wide),
        )  # fmt: skip
        first += x.shape[3]
    return sum_partials(sums) if parts > 1 else sums[0]


def pitches(x: Array | None) -> tuple[int, int]:
    """How many pixels lie between the rows and between the images of x (N, H, W, C), a view of an
    image perhaps."""
    if x is None:
        return 0, 0
    pixel = x.shape[3] * x.dtype.itemsize
    if x.strides[2:] != (pixel, x.dtype.itemsize) and x.size:
        raise CunetError(f"tensor cores: pixels must lie side by side, found strides {x.strides}")
    return x.strides[1] // pixel, x.strides[0] // pixel


@contextmanager
def choosing(function: Callable[[int, int, int], tuple[Tile, int]]) -> Iterator[None]:
    """Inside, function(pixels, channels, steps) takes the place of `choose`: for measurements that
    try every tile."""
    global choose
    before, choose = choose, function
    try:
        yield
    finally:
        choose = before
