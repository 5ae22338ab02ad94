"""Overlap-tile segmentation (paper section 2, Fig. 2): any image size, no seam.

A net of valid convolutions computes only the middle of its input tile. The image is covered with
tiles whose outputs meet; beyond the image's border a tile is filled by mirroring (numpy's
"reflect", which does not repeat the border pixel).

Tiles start at multiples of 2^depth, so that every pixel keeps its place on the pooling grid: the
result is then the same as from one tile around the whole image. For the paper's tile of 572 the
stride is 384, not the output size 388. --stride paper takes 388, which shifts the grid from tile to
tile and leaves seams.

A net with "same" padding computes every pixel of its tile, but sees zeros where the tile ends. Its
tiles overlap so far that no pixel is used that depends on a tile's edge, except at the image's own
border, where zeros are right. Such an image is first mirrored beyond its lower and right border, up
to the next multiple of 2^depth.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cunet.checks import arguments, callback, instance, one_image, text, whole
from cunet.data.mirror import reflect
from cunet.data.resize import resize_image, resize_probability
from cunet.data.values import check_values
from cunet.errors import CunetError, DataError, NumericError, not_among
from cunet.net.memory import explained, refuse_impossible, task_of
from cunet.net.receptive_field import context
from cunet.net.shape import Shape
from cunet.net.sizes import lattice, margin, output_size
from cunet.net.tiles import check_tile, tile_for_output, usual_tile
from cunet.net.unet import UNet
from cunet.segmentation.one_image import image_of_channels

# Each view of a tile as (transposed, rows flipped, columns flipped)
FLIPS = [(False, rows, columns) for rows in (False, True) for columns in (False, True)]
AVERAGES = {"none": FLIPS[:1], "flips": FLIPS, "rotations": FLIPS + [(True, *f[1:]) for f in FLIPS]}
STRIDES = ("exact", "paper")
ROUNDING = 1e-3  # that a probability may lie outside 0 to 1
FAR_OUT = 1e6  # deviations from the mean: no image is there


@dataclass(frozen=True)
class Plan:
    """How tiles cover the image along one axis."""

    tile: int  # side of the input tile
    starts: Sequence[int]  # of every tile the first pixel taken from it, up to the next tile's
    inputs: Sequence[int]  # of every tile its first input pixel

    def pieces(self, pixels: int) -> Iterator[tuple[int, int, int]]:
        """(first input pixel, first output pixel, last output pixel + 1) of every tile."""
        yield from zip(self.inputs, self.starts, [*self.starts[1:], pixels], strict=True)


def plan(pixels: int, depth: int, tile: int, stride: str = "exact", padding: str = "valid") -> Plan:
    """How tiles of side `tile` cover `pixels` pixels; a smaller tile where one suffices."""
    check_tile(tile, depth, padding)
    if stride not in STRIDES:
        raise not_among("stride", stride, STRIDES)
    if padding == "same" and stride != "exact":
        raise CunetError(f"stride {stride}: a net with same padding has none; leave it out")
    if pixels <= output_size(tile, depth, padding):
        whole = tile_for_output(pixels, depth, padding)
        return Plan(whole, range(0, pixels, pixels), [-margin(depth, padding)])
    if padding == "same":
        return _overlapping(pixels, depth, tile)
    step = output_size(tile, depth)
    if stride == "exact":
        step -= step % lattice(depth)
    if step == 0:
        smallest = tile_for_output(lattice(depth), depth)
        raise CunetError(
            f"tile {tile} gives {output_size(tile, depth)} pixels, less than one period of the "
            f"pooling grid ({lattice(depth)}); use --tile {smallest} or larger"
        )
    starts = range(0, pixels, step)
    return Plan(tile, starts, [start - margin(depth) for start in starts])


def _overlapping(pixels: int, depth: int, tile: int) -> Plan:
    """The plan of a net with "same" padding: a tile gives the pixels at least `context` from its
    edges. The first tile begins where the image begins, the last ends where the grown image ends.
    """
    seen = context(depth)
    step = tile - 2 * seen
    if step <= 0:
        raise CunetError(
            f"tile {tile} of a net with same padding lies within {seen} pixels of its edges, where "
            f"pixels depend on them; use --tile {2 * seen + lattice(depth)} or larger"
        )
    last = tile_for_output(pixels, depth, "same") - tile
    inputs = [*range(0, last, step), last]
    return Plan(tile, [0, *(first + seen for first in inputs[1:])], inputs)


def bands(
    read_rows: Callable[[int, int], np.ndarray],
    height: int,
    width: int,
    net: UNet,
    tile: int = 572,
    average: str = "none",
    stride: str = "exact",
    name: str = "image",
) -> Iterator[tuple[int, np.ndarray]]:
    """Segment an image band by band: yields (first row, probabilities (rows, width, K) float).

    read_rows(r0, r1) returns the pixels (r1 - r0, width, C). Memory holds one row of tiles. name
    is what a DataError calls the image.
    """
    if average not in AVERAGES:
        raise not_among("average", average, AVERAGES)

    def checked_rows(r0: int, r1: int) -> np.ndarray:
        pixels = read_rows(r0, r1)
        check_values(pixels, name, r0)
        return pixels

    if net.resize is not None:
        yield 0, _resized(checked_rows(0, height), net, net.resize, average, name)
        return
    normalization = net.normalization.fitted(checked_rows, height)
    lost = margin(net.shape.depth, net.shape.padding)
    down, across = (
        plan(side, net.shape.depth, tile, stride, net.shape.padding) for side in (height, width)
    )
    largest = max(down.tile, across.tile)
    refuse_impossible(task_of(net, largest, 1, training=False), net.device)
    columns = [reflect(first, across.tile, width) for first in across.inputs]
    for source, top, end in down.pieces(height):
        rows = reflect(source, down.tile, height)
        low, high = int(rows.min()), int(rows.max()) + 1
        pixels = normalization.apply(checked_rows(low, high), net.dtype)
        band = np.empty((end - top, width, net.shape.classes), net.dtype)
        skip = top - source - lost
        for (first, left, right), picked in zip(across.pieces(width), columns, strict=True):
            cut = pixels[rows[:, None] - low, picked[None, :]]
            output = average_views(net, cut, AVERAGES[average])
            aside = left - first - lost
            band[:, left:right] = output[skip : skip + end - top, aside : aside + right - left]
        check_probability(band, pixels, f"{name}, rows {top} to {end - 1}", net)
        yield top, band


def check_probability(found: np.ndarray, pixels: np.ndarray, name: str, net: UNet) -> None:
    """An error where what the network made of normalised pixels is no probability: DataError where
    the pixels lie too far out, else NumericError. name is what it calls the place."""
    if found.min() >= -ROUNDING and found.max() <= 1 + ROUNDING:  # false for NaN
        return
    far = float(np.abs(pixels).max())
    if not far < FAR_OUT:
        raise DataError(
            f"{name}: pixels lie {far:.2g} deviations from the mean of the training images, and "
            "the network returns NaN; look for single wrong pixels or another unit of intensity"
        )
    more = ", or give --precision float32" if net.precision in ("float16", "bfloat16") else ""
    raise NumericError(
        f"{name}: the network returns NaN or numbers outside 0 to 1, its weights are too large; "
        f"use another model, or train again with a smaller --lr{more}"
    )


def _resized(image: np.ndarray, net: UNet, side: int, average: str, name: str) -> np.ndarray:
    """Probabilities (H, W, K) of an image by a net that was trained on images scaled to a square.

    The image is scaled to the same square, and its probabilities back.
    """
    small = resize_image(image, side)
    small = net.normalization.fitted(lambda r0, r1: small[r0:r1], side).apply(small, net.dtype)
    tile = tile_for_output(side, net.shape.depth, net.shape.padding)
    refuse_impossible(task_of(net, tile, 1, training=False), net.device)
    rows = reflect(-margin(net.shape.depth, net.shape.padding), tile, side)
    output = average_views(net, small[rows[:, None], rows[None, :]], AVERAGES[average])
    check_probability(output, small, name, net)
    return resize_probability(output[:side, :side], *image.shape[:2])


def average_views(net: UNet, tile: np.ndarray, views: list[tuple[bool, bool, bool]]) -> np.ndarray:
    """The mean of the probabilities (P, Q, K) over the views of one tile (H, W, C).

    The tile is transformed, never the image: flipping the image would move the pooling grid.
    """
    total = _one_view(net, tile, *views[0])
    for view in views[1:]:
        total = total + _one_view(net, tile, *view)
    return total / len(views) if len(views) > 1 else total


def _one_view(
    net: UNet, tile: np.ndarray, transposed: bool, rows: bool, columns: bool
) -> np.ndarray:
    """The probabilities (P, Q, K) of one view of a tile (H, W, C), turned back."""
    view = tile[:: -1 if rows else 1, :: -1 if columns else 1]
    view = view.swapaxes(0, 1) if transposed else view
    quiet = np.errstate(over="ignore", invalid="ignore")  # check_probability looks at the result
    with quiet, explained(net, max(view.shape[:2]), training=False):
        p = net.engine.predict(net, np.ascontiguousarray(view)[None])[0]
    p = p.swapaxes(0, 1) if transposed else p
    return p[:: -1 if rows else 1, :: -1 if columns else 1]


NETS = "take one from cunet.load, cunet.fit or cunet.UNet, as in segment(image, net)"


@arguments(
    image=one_image, net=instance(UNet, NETS), tile=whole, average=text, stride=text,
    progress=callback,
)  # fmt: skip
def segment(
    image: np.ndarray,
    net: UNet,
    tile: int = 572,
    average: str = "none",
    stride: str = "exact",
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Class probabilities (H, W, K) of an image (H, W) or (H, W, C) of any size from 1x1 up.

    The image holds the values of its file: net.normalization is applied first. tile is the side of
    the input tile in pixels, which changes speed and memory, not the result; a small image gets a
    smaller one. average: "none", "flips" (the mean over 4 views of each tile) or "rotations" (over
    the 8 rotations and reflections). stride: "exact", or "paper" for tiles every 388 pixels as in
    2015, which leave seams. progress(rows done, rows) is called after every band of tiles.

    Returns probabilities from 0 to 1 in the dtype of the net; they sum to 1 over the classes.
    Raises CunetError for a shape, tile, average or stride that does not fit, DataError for NaN,
    infinity and "no data" in the image, NumericError where the weights are so large that the result
    is no probability, DeviceError where the memory does not suffice.

        net = cunet.load("bundled")
        cells = cunet.segment(image, net, average="rotations")[..., 1] > 0.5
    """
    image = image_of_channels(image, net.shape.in_channels)
    height, width = image.shape[:2]
    probability = np.empty((height, width, net.shape.classes), net.dtype)
    pieces = bands(lambda r0, r1: image[r0:r1], height, width, net, tile, average, stride)
    for first, band in pieces:
        probability[first : first + len(band)] = band
        if progress is not None:
            progress(first + len(band), height)
    return probability


def whole_tile(image: np.ndarray, shape: Shape, largest: int = 764) -> int:
    """The tile around a whole image (H, W, ...), or one of about 572 pixels where that would be
    more than `largest` pixels wide. shape: the network's."""
    whole = tile_for_output(max(image.shape[:2]), shape.depth, shape.padding)
    return whole if whole <= largest else usual_tile(shape.depth, shape.padding)
