"""The launches of convolution.cu and weights.cu: one product of matrices for every convolution and
up-convolution, forward and back. Nothing here waits for the GPU."""

from typing import NamedTuple

import numpy as np

from cunet.backend import Array, array_module
from cunet.engines.gpu import cuda, tiles
from cunet.engines.gpu.cuda import blocks, launch
from cunet.engines.gpu.sums import sum_partials
from cunet.errors import CunetError

BIAS, RELU, UP, REVERSE = 1, 2, 4, 8  # as in convolution.cu
PARTIAL_BYTES = 64 << 20  # that partial sums of filters may take
TAPS = {"conv": 9, "up": 1, "up_by_data": 4}  # of what a product is
MAX_CHUNKS = 2**31 - 1  # of 16 bytes, of an image: the kernels' int


class Problem(NamedTuple):
    """The struct of the same name in convolution.cu, which explains its fields, in its order."""

    x1: Array
    x2: Array | None
    w: Array
    bias: Array | None
    mask: Array | None
    y1: Array
    y2: Array | None
    partial: Array | None
    N: int
    H: int
    W: int
    C1: int
    row1: int
    image1: int
    C2: int
    row2: int
    image2: int
    K1: int
    K2: int
    w_row: int
    w_tap: int
    mask_row: int
    mask_image: int
    pad: int
    flags: int


def problem_of(
    pictures: tuple[Array, ...],
    w: Array,
    strides: tuple[int, int],
    results: list[Array],
    bias: Array | None = None,
    mask: Array | None = None,
    pad: int = 0,
    flags: int = 0,
    channels: int | None = None,
    partial: Array | None = None,
) -> Problem:
    """The problem of these images and results; arguments as in launches.launch_product."""
    x, second = pictures[0], pictures[1] if len(pictures) > 1 else None
    y, other = results[0], results[1] if len(results) > 1 else None
    n, height, width, c = x.shape
    (row1, image1), (row2, image2), of_mask = pitches(x), pitches(second), pitches(mask)
    return Problem(
        x1=x, x2=second, w=w, bias=bias, mask=mask, y1=y, y2=other, partial=partial,
        N=n, H=height, W=width, C1=c, row1=row1, image1=image1,
        C2=second.shape[3] if second is not None else 0, row2=row2, image2=image2,
        K1=channels or y.shape[3], K2=other.shape[3] if other is not None else 0,
        w_row=strides[0], w_tap=strides[1],
        mask_row=of_mask[0], mask_image=of_mask[1], pad=pad, flags=flags,
    )  # fmt: skip


def launch_tiles(what: str, problem: Problem, size: tuple[int, int]) -> None:
    """Launch convolution.cu's `what`; size: of the grid of output pixels. CunetError where an image
    has more numbers than the kernels can count."""
    x, k = problem.x1, problem.K1 + problem.K2
    places = max(problem.image1 * problem.C1, problem.image2 * problem.C2)  # of one image
    if problem.N * places * x.dtype.itemsize // 16 > MAX_CHUNKS:
        raise CunetError(
            f"tensor cores: {problem.N} x {problem.H} x {problem.W} pixels of {problem.C1} "
            "channels are more than the kernels can count; use a smaller tile or batch"
        )
    pixels, step = problem.N * size[0] * size[1], 128 // x.dtype.itemsize  # channels in 128 bytes
    steps = TAPS[what] * (blocks(problem.C1, step) + blocks(problem.C2, step))
    tile, parts = tiles.choose(pixels, k, steps)
    if parts > 1:
        partial = array_module(x).empty((parts, pixels, k), np.float32)
        problem = problem._replace(partial=partial)
    grid = blocks(pixels, tile.rows), blocks(k, tile.columns), parts
    launch(x, tile.name(what), grid, tile.threads, *problem, shared=tile.shared)
    if parts > 1:
        add_parts(problem, size, parts)


def add_parts(problem: Problem, size: tuple[int, int], parts: int) -> None:
    """Add the sums of parts and finish what is left: bias, ReLU or mask, rounding."""
    numbers = problem.N * size[0] * size[1] * (problem.K1 + problem.K2)
    grid = blocks(blocks(numbers, 2), 256)
    launch(problem.x1, "convolve_finish", grid, 256, *problem, *size, parts)


def launch_by_weights(
    what: str,
    pictures: tuple[Array, ...],
    dy: Array,
    shape: tuple[int, ...],
    into: Array | None = None,
) -> Array:
    """Launch weights.cu's `what` for each image and add up its parts: dw of this shape. into: an
    array for it, by default a new one. CunetError where dy has gaps."""
    check_gapless(dy)
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
    if into is not None and parts == 1:
        sums = into.reshape(1, *shape)
    else:
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
    return sum_partials(sums, into) if parts > 1 else sums[0]


def pitches(x: Array | None) -> tuple[int, int]:
    """How many pixels lie between the rows, and between the images, of x (N, H, W, C), which may be
    a view of a larger image."""
    if x is None:
        return 0, 0
    pixel = x.shape[3] * x.dtype.itemsize
    if x.strides[2:] != (pixel, x.dtype.itemsize) and x.size:
        raise CunetError(f"tensor cores: pixels must lie side by side, found strides {x.strides}")
    return x.strides[1] // pixel, x.strides[0] // pixel


def check_gapless(x: Array) -> None:
    """CunetError where memory between the pixels of x (N, H, W, C) is not its own, as in a view of
    a larger image: some kernels take no pitches."""
    n, height, width, _ = x.shape
    row, image = pitches(x)
    if (row != width and height > 1) or (image != height * width and n > 1):
        raise CunetError(
            f"tensor cores: expected a gradient without gaps, found {x.shape} with strides "
            f"{x.strides}"
        )
