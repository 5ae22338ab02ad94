"""Segmenting an image: the whole of it, band by band, or one window.

H W are the image's height and width, C its channels, K the classes.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from cunet.checks import (
    arguments,
    array_like,
    callback,
    flag,
    instance,
    one_image,
    text,
    whole,
    whole_numbers,
)
from cunet.data.resize import resize_image, resize_probability
from cunet.data.values import check_values
from cunet.errors import CunetError, not_among
from cunet.files.calibration import Calibration
from cunet.files.inverted import ends, inverted
from cunet.files.pixel_size import size_text
from cunet.net.memory import refuse_impossible, task_of
from cunet.net.tiles import tile_for_output
from cunet.net.unet import UNet
from cunet.segmentation.one_image import image_of_channels
from cunet.segmentation.several import Several
from cunet.segmentation.tiling import Cover
from cunet.segmentation.view import inverted_warning, view_of, warn
from cunet.segmentation.views import AVERAGES
from cunet.segmentation.window import Applied, Window

NETS = "take one from cunet.load, cunet.fit or cunet.UNet, as in segment(image, net)"


def bands(
    read_rows: Callable[[int, int], np.ndarray],
    height: int,
    width: int,
    net: UNet,
    tile: int = 572,
    average: str = "none",
    stride: str = "exact",
    name: str = "image",
    several: Several | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Segment an image band by band: yields (first row, probabilities (rows, width, K) float).

    read_rows(r0, r1) returns the pixels (r1 - r0, width, C). Memory holds one row of tiles. name
    is what a DataError calls the image; several: the same network on the devices that share tiles.
    """
    check_average(average)

    def checked_rows(r0: int, r1: int) -> np.ndarray:
        pixels = read_rows(r0, r1)
        check_values(pixels, name, r0)
        return pixels

    if net.resize is not None:
        yield 0, _resized(checked_rows(0, height), net, net.resize, average, name)
        return
    normalization = net.normalization.fitted(checked_rows, height)
    applied = Applied(net, normalization, average, name=name, several=several)
    cover = cover_of(height, width, net, tile, stride)
    for down in cover.down.pieces(height):
        window = Window(cover, (down.first, down.last), (0, width))
        pixels = read_rows(*window.needs[:2])
        yield down.first, window.probabilities(pixels, applied)[0]


def check_average(average: str) -> None:
    """CunetError where there is no such average."""
    if average not in AVERAGES:
        raise not_among("average", average, AVERAGES)


def cover_of(height: int, width: int, net: UNet, tile: int, stride: str) -> Cover:
    """The tiles that cover an image; DeviceError where a tile has no room on the net's device."""
    cover = Cover.of(height, width, net.shape, tile, stride)
    refuse_impossible(task_of(net, cover.tile, 1, training=False), net.device)
    return cover


def _resized(image: np.ndarray, net: UNet, side: int, average: str, name: str) -> np.ndarray:
    """Probabilities (H, W, K) of an image by a net that was trained on images scaled to a square.

    The image is scaled to the same square, and its probabilities back.
    """
    small = resize_image(image, side)
    tile = tile_for_output(side, net.shape.depth, net.shape.padding)
    cover = cover_of(side, side, net, tile, "exact")
    normalization = net.normalization.fitted(lambda r0, r1: small[r0:r1], side)
    window = Window(cover, (0, side), (0, side))
    output, _ = window.probabilities(small, Applied(net, normalization, average, name=name))
    return resize_probability(output, *image.shape[:2])


@arguments(
    image=one_image, net=instance(UNet, NETS), tile=whole, average=text, stride=text,
    progress=callback, pixel_size=size_text, rescale=flag, invert=flag,
)  # fmt: skip
def segment(
    image: np.ndarray,
    net: UNet,
    tile: int = 572,
    average: str = "none",
    stride: str = "exact",
    progress: Callable[[int, int], None] | None = None,
    pixel_size: str | None = None,
    rescale: bool = False,
    invert: bool = False,
) -> np.ndarray:
    """Class probabilities (H, W, K) of an image (H, W) or (H, W, C) of any size from 1x1 up.

    The image holds the values of its file: net.normalization is applied first. tile is the side of
    the input tile in pixels, which changes speed and memory, not the result; a small image gets a
    smaller one. average: "none", "flips" (the mean over 4 views of each tile) or "rotations" (over
    the 8 rotations and reflections). stride: "exact", or "paper" for tiles every 388 pixels as in
    2015, which leave seams. progress(rows done, rows) is called after every band of tiles.

    pixel_size: that of the image, such as "8nm" or, height x width, "4x8nm"; where it differs from
    that of the training images by a factor of more than 4/3, a warning says so. rescale: give the
    image pixels of the network's size first, and the result those of the image. invert: exchange
    bright and dark first, 255 - v of 8-bit values, min + max - v of others; a warning says where an
    image looks inverted beside those of the training.

    Returns probabilities from 0 to 1 in the dtype of the net; they sum to 1 over the classes.
    Raises CunetError for a shape, tile, average or stride that does not fit, and for rescale where
    one of the two pixel sizes is not known, DataError for NaN,
    infinity and "no data" in the image, NumericError where the weights are so large that the result
    is no probability, DeviceError where the memory does not suffice.

        net = cunet.load("em")
        cells = cunet.segment(image, net, average="rotations")[..., 1] > 0.5
    """
    image = image_of_channels(image, net.shape.in_channels)
    height, width = image.shape[:2]
    view = view_of(
        net, Calibration(), height, width, pixel_size, rescale, invert, advice="give rescale=True"
    )
    warn(view.warning)
    if invert:
        image = inverted(image, *ends(lambda r0, r1: image[r0:r1], height))

    def read(r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
        return image[r0:r1, c0:c1]

    warn(inverted_warning(net, read, height, width, view, "give invert=True", "invert"))
    probability = np.empty((height, width, net.shape.classes), net.dtype)
    applied = partial(bands, net=net, tile=tile, average=average, stride=stride)
    for first, band in view.bands(applied, lambda r0, r1: image[r0:r1], height, width):
        probability[first : first + len(band)] = band
        if progress is not None:
            progress(first + len(band), height)
    return probability


@arguments(
    image=array_like, net=instance(UNet, NETS), rows=whole_numbers, columns=whole_numbers,
    tile=whole, average=text, stride=text,
)  # fmt: skip
def segment_window(
    image: np.ndarray,
    net: UNet,
    rows: tuple[int, int],
    columns: tuple[int, int],
    tile: int = 572,
    average: str = "none",
    stride: str = "exact",
) -> np.ndarray:
    """Class probabilities of one rectangle of an image, from the pixels alone that it needs.

    image is an array (H, W) or (H, W, C), or anything with `shape` and `dtype` that gives a part of
    itself by image[r0:r1, c0:c1]: a memory map, an array of zarr or of h5py. rows = (first, last +
    1) and columns = (first, last + 1) name the rectangle. It comes out bit for bit as in
    `cunet.segment` of the whole image with the same tile, average and stride, whatever rectangles
    an image is cut into. A rectangle costs every tile that it meets: with rows and columns that
    are multiples of the step between tiles (384 for the usual tile of 572) no tile is computed
    twice. A network trained with normalize="per_image" reads the whole image once for its mean and
    deviation.

    Returns (rows, columns, K) in the dtype of the net. Raises as `segment` does, and CunetError for
    a rectangle that does not lie in the image, and for a network that scales images to a square,
    which needs the whole.

        slide = np.load("slide.npy", mmap_mode="r")
        corner = cunet.segment_window(slide, net, (0, 384), (0, 768))
    """
    check_average(average)
    channels = net.shape.in_channels
    height, width = _sides(image, channels)
    for name, span, side in (("rows", rows, height), ("columns", columns, width)):
        if len(span) != 2 or not 0 <= span[0] < span[1] <= side:
            raise CunetError(
                f"{name}: expected (first, last + 1) within 0 to {side}, found {tuple(span)}"
            )
    if net.resize is not None:
        raise CunetError(
            f"this network scales every image to {net.resize} x {net.resize} pixels, which needs "
            "the whole of it: use cunet.segment"
        )

    def read(r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
        return image_of_channels(np.asarray(image[r0:r1, c0:c1]), channels)

    normalization = net.normalization.fitted(lambda r0, r1: read(r0, r1, 0, width), height)
    window = Window(cover_of(height, width, net, tile, stride), rows, columns)
    found, _ = window.probabilities(read(*window.needs), Applied(net, normalization, average))
    return found


def _sides(image: np.ndarray, channels: int) -> tuple[int, int]:
    """Height and width; CunetError for a shape that is none of an image, nothing being read."""
    stand_in = np.broadcast_to(np.zeros((), image.dtype), image.shape)
    return image_of_channels(stand_in, channels).shape[:2]
