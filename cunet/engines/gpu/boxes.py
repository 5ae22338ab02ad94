"""The launches of boxes.cu: convolutions and up-convolutions by Hopper's copy engine. Arguments are
those of product.launch_product, which calls these where the GPU can. Nothing here waits for it."""

import numpy as np

from cunet.backend import Array, array_module
from cunet.engines.gpu import box_tiles, cuda, tensor_map
from cunet.engines.gpu.cuda import blocks, launch
from cunet.errors import DeviceError

TAPS = {"conv": 9, "up": 1, "up_by_data": 4}
ROW_BYTES = 128  # of a box
wanted = True  # False: the kernels of other cards are used here too
PROBLEM = np.dtype(
    [(name, np.uint64) for name in "bias mask y1 y2 partial".split()]
    + [
        (name, np.int32)
        for name in (
            "P Q wide high across down images tiles_k parts tiles C1 blocks1 blocks K1 K2 "
            "mask_row mask_image pad flags"
        ).split()
    ],
    align=True,
)  # the struct BoxProblem of boxes.cu, which explains its fields


def image_map(x: Array, wide: int, high: int) -> np.ndarray:
    """The map of an image (N, H, W, C), which may be a view of a larger one, for boxes of 128 bytes
    of channels of wide x high pixels."""
    size = x.dtype.itemsize
    strides = [stride // size for stride in x.strides[2::-1]]
    box = (ROW_BYTES // size, wide, high, 1)
    return tensor_map.tiled(x.data.ptr, x.dtype, x.shape[::-1], strides, box)


def corners_map(x: Array, wide: int, high: int) -> np.ndarray:
    """The map of an image (N, 2H, 2W, C) for boxes of pixels of one corner of all 2x2 blocks: its
    dimensions are, from the innermost, C, b, W, a and N H."""
    n, height, width, c = x.shape
    lengths = (c, 2, width // 2, 2, n * height // 2)
    strides = (c, 2 * c, width * c, 2 * width * c)
    box = (ROW_BYTES // x.dtype.itemsize, 1, wide, 1, high)
    return tensor_map.tiled(x.data.ptr, x.dtype, lengths, strides, box)


def filters_map(w: Array, rows: int, strides: tuple[int, int], filters: int) -> np.ndarray:
    """The map of packed filters, `rows` of them a tap; strides: elements between rows, of which
    each is one long, and between taps."""
    inner, tap = strides
    taps = max(1, w.size // (rows * inner))
    lengths = (inner, rows, taps, 1)
    box = (ROW_BYTES // w.dtype.itemsize, filters, 1, 1)
    return tensor_map.tiled(w.data.ptr, w.dtype, lengths, (inner, tap or w.size, w.size), box)


def launch_boxes(
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
) -> Array | None:
    """Launch boxes.cu's `what`; returns the sums of parts (parts, N, P, Q, K) that are still to be
    added, None where the results are done."""
    x, y = pictures[0], results[0]
    k1 = channels or y.shape[3]
    k2 = results[1].shape[3] if len(results) > 1 else 0
    steps = [blocks(p.shape[3] * p.dtype.itemsize, ROW_BYTES) for p in pictures]
    output = box_tiles.Output(
        what, x.shape[0], *size, k1 + k2, TAPS[what] * sum(steps), mask is not None
    )
    cut = box_tiles.choose(output)
    tile, parts, (across, down) = cut.tile, cut.parts, cut.rectangles(output)
    rows = cut.high // tile.groups
    partial = None
    if parts > 1:
        shape = (parts, x.shape[0], *size, k1 + k2)
        partial = array_module(x).empty(shape, np.float32)
    problem = np.zeros((), PROBLEM)
    mask_row, mask_image = (
        (mask.strides[i] // mask.strides[2] for i in (1, 0)) if mask is not None else (0, 0)
    )
    for name, value in dict(
        bias=address(bias), mask=address(mask), y1=address(y),
        y2=address(results[1]) if k2 else 0, partial=address(partial),
        P=size[0], Q=size[1], wide=cut.wide, high=cut.high, across=across, down=down,
        images=x.shape[0], tiles_k=blocks(k1 + k2, 64 * tile.filters), parts=parts,
        tiles=cut.tiles(output), C1=x.shape[3], blocks1=steps[0], blocks=sum(steps), K1=k1, K2=k2,
        mask_row=mask_row, mask_image=mask_image, pad=pad, flags=flags,
    ).items():  # fmt: skip
        problem[name] = value
    of_image = corners_map if what == "up_by_data" else image_map
    sides = (box_tiles.HALO_WIDE, cut.high + 2) if tile.halo else (cut.wide, rows)
    maps = [of_image(picture, *sides) for picture in (x, pictures[-1])]
    maps.append(filters_map(w, k1 + k2, strides, 64 * tile.filters))
    maps.append(image_map(mask, cut.wide, rows) if mask is not None else maps[0])
    grid = min(cut.tiles(output), tile.resident * cuda.processors())
    launch(
        x, tile.name(what + ("_part" if parts > 1 else "")), grid, tile.threads, *maps, problem,
        shared=tile.shared(x.dtype.itemsize),
    )  # fmt: skip
    return partial


def usable() -> bool:
    """Whether the current GPU has the kernels of boxes.cu, and its driver makes tensor maps."""
    if not wanted or cuda.capability() != cuda.WARPGROUP_CAPABILITY:
        return False
    try:
        tensor_map.driver()
    except DeviceError:
        return False
    return True


def address(x: Array | None) -> int:
    """Where an array begins; 0 for None."""
    return 0 if x is None else x.data.ptr
