"""Whether convolutions may go by boxes on the current GPU: it is of the kind that has the copy
engine, its driver makes tensor maps, and a small convolution came out as by the other kernels."""

from functools import cache

import numpy as np

from cunet.backend import Array, import_cupy
from cunet.engines.gpu import box_tiles, boxes, cuda, tensor_map
from cunet.engines.gpu.cuda import precision_of
from cunet.engines.gpu.elements import pack, to_elements, to_floats
from cunet.engines.gpu.product import BIAS, RELU, launch_tiles, problem_of
from cunet.errors import DeviceError

wanted = True  # False: convolutions go by the kernels of other cards here too
IMAGE, FILTERS = (1, 21, 19, 72), (3, 3, 72, 136)
LARGEST_ERROR = 1e-2  # L2, relative: a rounding; wrong numbers are as large as the right ones


def usable(x: Array) -> bool:
    """Whether convolutions of activations such as x go by boxes.

    The first call for a precision makes the small convolution and waits for it.
    """
    if not wanted or cuda.capability() != cuda.WARPGROUP_CAPABILITY:
        return False
    return problem(precision_of(x), import_cupy().cuda.Device().id) is None


@cache
def problem(precision: str, index: int) -> str | None:
    """Why GPU number index, the current one, does not convolve by boxes in this precision; None
    where it does. It is announced as well: such a GPU is slower than it could be."""
    try:
        tensor_map.driver()
        off = difference(precision)
        if off <= LARGEST_ERROR:
            return None
        found = f"a small convolution differs by {off:.2g} from that of the other kernels"
    except DeviceError as error:
        found = str(error)
    cuda.announce(f"the copy engine's kernels are not used in {precision}: {found}")
    return found


def difference(precision: str) -> float:
    """The relative L2 difference of a small convolution by boxes from that by tiles; infinite where
    one is not finite."""
    xp, rng = import_cupy(), np.random.default_rng(0)
    x, w = (xp.asarray(rng.standard_normal(shape, np.float32)) for shape in (IMAGE, FILTERS))
    b = xp.asarray(rng.standard_normal(FILTERS[3], np.float32))
    x = to_elements(x, precision)
    (rows, columns), (c, k) = (IMAGE[1] - 2, IMAGE[2] - 2), FILTERS[2:]
    packed = pack(w, x.dtype, transposed=True)
    by_boxes, by_tiles = (xp.zeros((1, rows, columns, k), x.dtype) for _ in range(2))
    strides, flags = (c, k * c), BIAS | RELU
    # not by `choosing`, which would hold for the convolutions of other threads too
    tile = box_tiles.CONV_TILES[0]
    cut = box_tiles.Cut(tile, box_tiles.CONV_WIDE, tile.pixels // box_tiles.CONV_WIDE, 1)
    boxes.launch_boxes(
        "conv", (x,), packed, strides, [by_boxes], (rows, columns), b, flags=flags, cut=cut
    )
    other = problem_of((x,), packed, strides, [by_tiles], b, flags=flags)
    launch_tiles("conv", other, (rows, columns))
    a, b = (to_floats(y).get().astype(np.float64) for y in (by_boxes, by_tiles))
    off = float(np.linalg.norm(a - b) / np.linalg.norm(b))
    return off if np.isfinite(off) else np.inf
