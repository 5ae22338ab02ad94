"""In which pieces an image lies in its file, and what reading boxes of it therefore costs.

A piece is what is decoded as one: a chunk of an OME-Zarr, a tile, strip or row of a TIFF, a whole
picture. A box that touches a piece reads all of it. Along each axis this can be counted alone: the
pieces that a grid of boxes touches are the product of three sums, however many boxes there are.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from cunet.files.grey import GreyImage
from cunet.files.image_file import ImageFile
from cunet.files.ome_zarr import OmeZarrImage
from cunet.files.some_pages import SomePages
from cunet.files.tiff_damage import contiguous
from cunet.files.tiff_input import TiffImage

Sizes = tuple[int, int, int]  # along z, y and x


@dataclass(frozen=True)
class Spans:
    """What boxes cover along one axis: first, and last + 1, of each (n,) int64."""

    first: np.ndarray
    last: np.ndarray

    def touched(self, piece: int) -> int:
        """How many pieces of this length they touch, one that several touch as often."""
        return int((-(-self.last // piece) - self.first // piece).sum())

    def covered(self, piece: int, size: int) -> int:
        """How much of an axis of this size these pieces hold."""
        ends = np.minimum(-(-self.last // piece) * piece, size)
        return int((ends - self.first // piece * piece).sum())

    def moved(self, by: int) -> "Spans":
        """The same, counted from another origin."""
        return Spans(self.first + by, self.last + by)


@dataclass(frozen=True)
class Reads:
    """bytes: of the pieces, decoded; requests: for pieces, and for the indexes of shards."""

    bytes: int
    requests: int


@dataclass(frozen=True)
class Pieces:
    """
    size     (Z, Y, X) of the image: of a stored array, from which sections may be a choice
    piece    (Z, Y, X) of a piece
    shard    (Z, Y, X) of a file of pieces with an index, which is read as well; None without
    planes   pieces that lie in one place: of several channels
    voxel    bytes that are decoded for each voxel, all channels together
    first    the stored section that is the image's first
    rows_joined  whether rows lie one after the other and are read at once
    kept     whether the last page is kept in memory
    """

    size: Sizes
    piece: Sizes
    voxel: int
    planes: int = 1
    shard: Sizes | None = None
    first: int = 0
    rows_joined: bool = False
    kept: bool = False

    def reads(self, z: Spans, y: Spans, x: Spans) -> Reads:
        """What it takes to read every box of a grid: spans along each axis, in every combination,
        each by itself."""
        along = z.moved(self.first), y, x
        held = [s.covered(n, m) for s, n, m in zip(along, self.piece, self.size, strict=True)]
        counts = [s.touched(n) for s, n in zip(along, self.piece, strict=True)]
        if self.rows_joined:
            counts[1] = len(y.first)
        requests = math.prod(counts)
        if self.shard is not None:
            requests += math.prod(s.touched(n) for s, n in zip(along, self.shard, strict=True))
        return Reads(math.prod(held) * self.voxel, requests * self.planes)


def pieces_of(image: ImageFile) -> Pieces:
    """The pieces of an open image."""
    if isinstance(image, SomePages):
        return replace(pieces_of(image.image), first=image.first)
    if isinstance(image, GreyImage):
        return pieces_of(image.image)
    if isinstance(image, OmeZarrImage):
        return _of_zarr(image)
    if isinstance(image, TiffImage):
        return _of_tiff(image)
    size = image.pages, image.height, image.width
    voxel = image.channels * image.dtype.itemsize
    return Pieces(size, (1, *size[1:]), voxel, kept=True)


def _of_zarr(image: OmeZarrImage) -> Pieces:
    array, axes = image.array, image.array_axes

    def along(sizes: tuple[int, ...], axis: str) -> int:
        return sizes[axes.index(axis)] if axis in axes else 1

    def box(sizes: tuple[int, ...]) -> Sizes:
        return along(sizes, "z"), along(sizes, "y"), along(sizes, "x")

    channels, of_piece = along(array.shape, "c"), along(array.chunk, "c")
    if image.channels == channels:
        planes, decoded = -(-channels // of_piece), channels
    else:  # one of them is read, with those in its chunks
        planes, decoded = 1, min(of_piece, channels)
    times = min(along(array.chunk, "t"), along(array.shape, "t"))
    voxel = decoded * times * array.dtype.itemsize
    shard = box(array.file) if array.file != array.chunk else None
    return Pieces(box(array.shape), box(array.chunk), voxel, planes, shard, image.first)


def _of_tiff(image: TiffImage) -> Pieces:
    size = image.pages, image.height, image.width
    key, item = image._stack.keyframe, image.dtype.itemsize
    planes = image.channels if image._planar else 1
    voxel = item * (image.channels if image._planar else image._samples)
    if not image.streamed:
        return Pieces(size, (1, *size[1:]), voxel, planes, kept=True)
    if image._stack.dataoffset is not None or contiguous(image._stack.pages[0]):
        return Pieces(size, (1, 1, image.width), voxel, planes, rows_joined=True)
    if key.is_tiled:
        return Pieces(size, (1, key.tilelength, key.tilewidth), voxel, planes)
    rows = min(key.rowsperstrip, image.height)
    return Pieces(size, (1, rows, image.width), voxel, planes)
