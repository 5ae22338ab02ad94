"""Which kernels make a product of matrices: those by boxes where the GPU has them, else tiles."""

from cunet.backend import Array
from cunet.engines.gpu import box_check
from cunet.engines.gpu.boxes import launch_boxes
from cunet.engines.gpu.product import add_parts, launch_tiles, problem_of


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
    """Launch `what`: conv, up or up_by_data, in the words of convolution.cu.

    strides: of w, between output channels and between taps; size: of the grid of output pixels;
    channels: of the product, by default those of the results together.
    """
    rest = (bias, mask, pad, flags, channels)
    if not box_check.usable(pictures[0]):
        launch_tiles(what, problem_of(pictures, w, strides, results, *rest), size)
        return
    partial = launch_boxes(what, pictures, w, strides, results, size, *rest)
    if partial is not None:
        add_parts(problem_of(pictures, w, strides, results, *rest, partial), size, len(partial))
