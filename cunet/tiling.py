"""Overlap-tile segmentation (paper section 2, Fig. 2): any image size, no seam.

A net of valid convolutions answers only the middle of its input tile. The image is covered with
tiles whose outputs meet; what a tile needs beyond the image's border is mirrored (the border
pixel not repeated: numpy's "reflect").

Tiles start at multiples of 2^depth, so that every pixel keeps its place on the pooling grid: the
result is then the same as from one tile around the whole image. For the paper's 572 the stride
is 384, not the output size 388; --stride paper takes 388, shifts the grid from tile to tile and
shows seams.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from cunet.backend import to_device, to_host
from cunet.data.mirror import reflect
from cunet.errors import CunetError, DataError
from cunet.ops.softmax_loss import softmax
from cunet.sizes import check_tile, lattice, margin, output_size, tile_for_output
from cunet.unet import UNet

# Each view of a tile as (transposed, rows flipped, columns flipped)
FLIPS = [(False, rows, columns) for rows in (False, True) for columns in (False, True)]
AVERAGES = {"none": FLIPS[:1], "flips": FLIPS, "rotations": FLIPS + [(True, *f[1:]) for f in FLIPS]}
STRIDES = ("exact", "paper")


@dataclass(frozen=True)
class Plan:
    """Along one axis: the side of the input tile, and the first output pixel of every tile."""

    tile: int
    starts: range


def plan(pixels: int, depth: int, tile: int, stride: str = "exact") -> Plan:
    """How tiles of side `tile` cover `pixels` pixels; a smaller tile where one suffices."""
    check_tile(tile, depth)
    if stride not in STRIDES:
        raise CunetError(f"stride: expected one of {STRIDES}, found '{stride}'")
    if pixels <= output_size(tile, depth):
        return Plan(tile_for_output(pixels, depth), range(0, pixels, pixels))
    step = output_size(tile, depth)
    if stride == "exact":
        step -= step % lattice(depth)
    if step == 0:
        least = tile_for_output(lattice(depth), depth)
        raise CunetError(
            f"tile {tile} answers {output_size(tile, depth)} pixels, less than one period of the "
            f"pooling grid ({lattice(depth)}); use --tile {least} or larger"
        )
    return Plan(tile, range(0, pixels, step))


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

    read_rows(r0, r1) answers the pixels (r1 - r0, width, C). Memory holds one row of tiles. name
    is what a DataError calls the image.
    """
    if average not in AVERAGES:
        raise CunetError(f"average: expected one of {tuple(AVERAGES)}, found '{average}'")
    border = margin(net.depth)
    down, across = (plan(side, net.depth, tile, stride) for side in (height, width))
    columns = [reflect(start - border, across.tile, width) for start in across.starts]
    for top in down.starts:
        rows = reflect(top - border, down.tile, height)
        low, high = int(rows.min()), int(rows.max()) + 1
        pixels = read_rows(low, high)
        if not np.isfinite(pixels).all():
            raise DataError(f"{name} holds NaN or infinity in rows {low} to {high - 1}; clean it")
        source = net.normalization.apply(pixels, net.dtype)
        band = np.empty((min(height - top, _step(down)), width, net.classes), net.dtype)
        for left, picked in zip(across.starts, columns, strict=True):
            cut = source[rows[:, None] - low, picked[None, :]]
            right = min(width, left + _step(across))
            answer = average_views(net, cut, AVERAGES[average])
            band[:, left:right] = answer[: len(band), : right - left]
        yield top, band


def average_views(net: UNet, tile: np.ndarray, views: list[tuple[bool, bool, bool]]) -> np.ndarray:
    """The mean of the probabilities (P, Q, K) over the views of one tile (H, W, C).

    The tile is transformed, never the image: flipping the image would move the pooling grid.
    """
    total = None
    for transposed, rows, columns in views:
        view = tile[:: -1 if rows else 1, :: -1 if columns else 1]
        view = view.swapaxes(0, 1) if transposed else view
        x = to_device(np.ascontiguousarray(view)[None], net.device)
        p = to_host(softmax(net(x, remember=False)))[0]
        p = p.swapaxes(0, 1) if transposed else p
        p = p[:: -1 if rows else 1, :: -1 if columns else 1]
        total = p if total is None else total + p
    return total / len(views) if len(views) > 1 else total


def segment(
    image: np.ndarray, net: UNet, tile: int = 572, average: str = "none", stride: str = "exact"
) -> np.ndarray:
    """Class probabilities (H, W, K) of an image (H, W) or (H, W, C) of any size from 1x1 up.

    The net's own normalization is applied first. average: "none", "flips" (4 views of each tile)
    or "rotations" (the 8 rotations and reflections).
    """
    image = image[..., None] if image.ndim == 2 else image
    if image.ndim != 3 or image.shape[2] != net.in_channels or 0 in image.shape:
        raise CunetError(
            f"segment: expected an image (H, W) or (H, W, {net.in_channels}), found {image.shape}"
        )
    height, width = image.shape[:2]
    probability = np.empty((height, width, net.classes), net.dtype)
    pieces = bands(lambda r0, r1: image[r0:r1], height, width, net, tile, average, stride)
    for first, band in pieces:
        probability[first : first + len(band)] = band
    return probability


def _step(axis: Plan) -> int:
    return axis.starts.step
