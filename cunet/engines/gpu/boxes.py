"""The launches of boxes_conv.cu and boxes_up.cu: convolutions and up-convolutions by Hopper's copy
engine. Nothing here waits for the GPU."""

import numpy as np

from cunet.backend import Array, array_module
from cunet.engines.gpu import box_tiles, cuda, tensor_map
from cunet.engines.gpu.cuda import blocks, launch
from cunet.engines.gpu.product import TAPS, check_gapless, pitches

ROW_BYTES = 128  # of a box
PROBLEM = np.dtype(
    [(name, np.uint64) for name in ("bias", "mask", "y1", "y2", "partial")]
    + [
        (name, np.int32)
        for name in (
            "P Q wide high across down images tiles_k parts tiles C1 blocks1 blocks K1 K2 "
            "mask_row mask_image pad flags"
        ).split()
    ],
    align=True,
)  # the struct BoxProblem of boxes.cu, which explains its fields


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
    cut: box_tiles.Cut | None = None,
) -> Array | None:
    """Launch the kernel of `what`, conv, up or up_by_data; arguments as in launches.launch_product.
    cut: how, by default what box_tiles chooses.

    Returns the sums of parts (parts, N, P, Q, K) where they are still to be added, else None.
    """
    x, k1 = pictures[0], channels or results[0].shape[3]
    k = k1 + (results[1].shape[3] if len(results) > 1 else 0)
    across = [blocks(p.shape[3] * p.dtype.itemsize, ROW_BYTES) for p in pictures]
    output = box_tiles.Output(what, x.shape[0], *size, k, TAPS[what], sum(across), mask is not None)
    cut = cut or box_tiles.choose(output)
    tile, parts = cut.tile, cut.parts
    partial = None
    if parts > 1:
        partial = array_module(x).empty((parts, x.shape[0], *size, k), np.float32)
    fields = dict(
        bias=address(bias), mask=address(mask), y1=address(results[0]),
        y2=address(results[1]) if k > k1 else 0, partial=address(partial),
        P=size[0], Q=size[1], wide=cut.wide, high=cut.high, images=x.shape[0],
        tiles_k=blocks(k, 64 * tile.filters), parts=parts, tiles=cut.tiles(output),
        C1=x.shape[3], blocks1=across[0], blocks=sum(across), K1=k1, K2=k - k1, pad=pad,
        flags=flags,
    )  # fmt: skip
    fields["across"], fields["down"] = cut.rectangles(output)
    fields["mask_row"], fields["mask_image"] = pitches(mask)
    maps = [*image_maps(what, pictures, cut), filters_map(w, k, strides, 64 * tile.filters)]
    maps.append(image_map(mask, cut.wide, cut.high) if mask is not None else maps[0])
    grid = min(cut.tiles(output), tile.resident * cuda.processors())
    launch(
        x, tile.name(what, parts), grid, tile.threads, *maps, record(PROBLEM, fields),
        shared=tile.shared(what, x.dtype.itemsize),
    )  # fmt: skip
    return partial


def image_maps(what: str, pictures: tuple[Array, ...], cut: box_tiles.Cut) -> list[np.ndarray]:
    """The maps of the pixels that are multiplied: two for a convolution, else one."""
    if what == "conv":
        sides = cut.wide + box_tiles.WIDER, cut.high + box_tiles.TALLER
        return [image_map(picture, *sides) for picture in (pictures[0], pictures[-1])]
    of_image = corners_map if what == "up_by_data" else image_map
    return [of_image(pictures[0], cut.wide, cut.high)]


def image_map(x: Array, wide: int, high: int) -> np.ndarray:
    """The map of an image (N, H, W, C), which may be a view of a larger one, for boxes of 128 bytes
    of channels of wide x high pixels."""
    c, (row, image) = x.shape[3], pitches(x)
    box = (ROW_BYTES // x.dtype.itemsize, wide, high, 1)
    return tensor_map.tiled(x.data.ptr, x.dtype, x.shape[::-1], (c, row * c, image * c), box)


def corners_map(x: Array, wide: int, high: int) -> np.ndarray:
    """The map of an image (N, 2H, 2W, C) for boxes of pixels of one corner of all 2x2 blocks: its
    dimensions are, from the innermost, C, b, W, a and N H. CunetError where x has gaps."""
    check_gapless(x)
    n, height, width, c = x.shape
    lengths = (c, 2, width // 2, 2, n * height // 2)
    strides = (c, 2 * c, width * c, 2 * width * c)
    box = (ROW_BYTES // x.dtype.itemsize, 1, wide, 1, high)
    return tensor_map.tiled(x.data.ptr, x.dtype, lengths, strides, box)


def filters_map(w: Array, rows: int, strides: tuple[int, int], filters: int) -> np.ndarray:
    """The map of packed filters, `rows` of them a tap; strides: elements between rows, of which
    each is one long, and between taps (0: there is one)."""
    inner, tap = strides
    lengths = (inner, rows, w.size // (rows * inner), 1)
    box = (ROW_BYTES // w.dtype.itemsize, filters, 1, 1)
    return tensor_map.tiled(w.data.ptr, w.dtype, lengths, (inner, tap or w.size, w.size), box)


def record(dtype: np.dtype, fields: dict[str, int]) -> np.ndarray:
    """A struct with these fields, as `launch` passes it by value; the others are 0."""
    made = np.zeros((), dtype)
    for name, value in fields.items():
        made[name] = value
    return made


def address(x: Array | None) -> int:
    """Where an array begins; 0 for None."""
    return 0 if x is None else x.data.ptr
