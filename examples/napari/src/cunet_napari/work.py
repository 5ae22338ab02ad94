"""From the pages of a layer to probabilities, mask and objects, piece by piece; there is no window.

Every step is a generator that yields how far it is, so that whoever runs it can show that, and can
stop it between two pieces. A piece is a tile on the CPU, a row of tiles on a GPU. The pieces make
up, bit for bit, what `cunet.segment` returns of the page.
"""

import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import cunet
from cunet import CunetError, UNet
from cunet.errors import DeviceError
from cunet.files.image_file import ArrayImage
from cunet.net.memory import room
from cunet.segmentation.how import numbers
from cunet.segmentation.instances import Instances
from cunet.segmentation.jobs import fitting_tile
from cunet.segmentation.segment import cover_of
from cunet.segmentation.segment_file import classes, one_class_warning, range_warnings
from cunet_napari.stack import Page, Stack, grey

PRODUCTS = ("prob", "mask", "labels")


@dataclass(frozen=True)
class Step:
    """How far the work is: pieces done, of how many of what, and seconds for the rest."""

    done: int
    of: int
    seconds_left: float
    what: str = "tiles"


@dataclass
class Objects:
    """Class ids (*lead, H, W) uint8, object numbers (*lead, H, W) int32, and their measures, a
    column each.

    Numbers go on from page to page, so that one number is one object; `cunet segment` begins every
    page at 1.
    """

    mask: np.ndarray
    labels: np.ndarray
    table: dict[str, np.ndarray] = field(default_factory=dict)


class Grey:
    """A page of RGB as a page (H, W), for a network of one channel."""

    def __init__(self, stack: Stack, page: Page):
        self._stack, self._page, self.dtype = stack, page, page.dtype
        self.shape = page.shape[:2]

    def __getitem__(self, window: tuple[slice, slice]) -> np.ndarray:
        return grey(self._stack, self._page[window])


def probabilities(
    stack: Stack,
    pages: list[tuple[int, ...]],
    net: UNet,
    tile: int | None = None,
    average: str = "none",
) -> Generator[Step, None, np.ndarray]:
    """The probabilities of these pages; returns (K, pages, H, W) float32, of two classes that of
    class 1 alone, (1, pages, H, W).

    The net must be the caller's own. Raises CunetError as `cunet.segment` does, DeviceError where
    the result has no room in memory.
    """
    side, two = fitting_tile(tile, net), net.shape.classes == 2
    shape = (1 if two else net.shape.classes, len(pages), stack.height, stack.width)
    free = room(net) if net.device == "cpu" else None
    if free is not None and 4 * np.prod(shape, dtype=float) > 0.8 * free:
        raise DeviceError(
            f"layer '{stack.name}': its probabilities take {4e-9 * np.prod(shape):.1f} GB of "
            f"memory, free are {free / 1e9:.1f} GB. Segment the page that is shown, or all of it "
            "in a terminal, where results go to the disk: cunet segment FILE"
        )
    found = np.empty(shape, np.float32)
    windows = _windows(stack, net, side)
    start, of = time.perf_counter(), len(pages) * len(windows)
    for number, index in enumerate(pages):
        page = _page(stack, index, net)
        usual, net.normalization = net.normalization, _fitted(net, page)
        try:
            for piece, (rows, columns) in enumerate(windows, 1):
                part = _part(page, net, rows, columns, side, average)
                part = part[..., 1:] if two else part
                found[:, number, slice(*rows), slice(*columns)] = np.moveaxis(part, -1, 0)
                done = number * len(windows) + piece
                yield Step(done, of, (time.perf_counter() - start) / done * (of - done))
        finally:
            net.normalization = usual
    return found


def _page(stack: Stack, index: tuple[int, ...], net: UNet) -> Page | Grey:
    """A page as the network takes it."""
    page = stack.page(index)
    return Grey(stack, page) if net.shape.in_channels == 1 and stack.channels else page


def doubts(stack: Stack, index: tuple[int, ...], net: UNet) -> list[str]:
    """What speaks against this network on this page: intensities far from the training images'."""
    page = _page(stack, index, net)
    lines = np.unique(np.linspace(0, stack.height - 1, 48).astype(int)).tolist()
    rows = [page[slice(r, r + 1), slice(0, stack.width)] for r in lines]
    sample = np.concatenate(rows).reshape(1, len(rows), stack.width, -1)
    return range_warnings(ArrayImage(sample, stack.name), net, 0)


def one_class(name: str, mask: np.ndarray, count: int) -> list[str]:
    """A warning where nearly all pixels of a mask are of one of `count` classes."""
    shares = np.bincount(mask.ravel(), minlength=count) / mask.size
    return one_class_warning(Path(name), shares.tolist())


def _windows(stack: Stack, net: UNet, tile: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The rows and columns of each piece of a page."""
    if net.resize is not None:  # it sees the whole page at once
        return [((0, stack.height), (0, stack.width))]
    cover = cover_of(stack.height, stack.width, net, tile, "exact")
    across = [(piece.first, piece.last) for piece in cover.across.pieces(stack.width)]
    if net.device != "cpu":  # one tile is prepared while another is computed
        across = [(0, stack.width)]
    down = [(piece.first, piece.last) for piece in cover.down.pieces(stack.height)]
    return [(rows, columns) for rows in down for columns in across]


def _fitted(net: UNet, page: Page | Grey) -> "cunet.net.normalization.Normalization":
    """The normalisation of a page: once for all of its pieces where it depends on the page."""
    if net.resize is not None:
        return net.normalization
    height, width = page.shape[:2]
    return net.normalization.fitted(lambda r0, r1: page[slice(r0, r1), slice(0, width)], height)


def _part(
    page: Page | Grey,
    net: UNet,
    rows: tuple[int, int],
    columns: tuple[int, int],
    tile: int,
    average: str,
) -> np.ndarray:
    """The probabilities (rows, columns, K) of one piece; memory that does not suffice is an error
    in words."""
    try:
        if net.resize is not None:
            return cunet.segment(page[slice(*rows), slice(*columns)], net, tile, average)
        return cunet.segment_window(page, net, rows, columns, tile, average)
    except MemoryError as error:
        raise DeviceError(
            "no memory to segment: take a smaller tile, or close other programs"
        ) from error


def objects(
    probability: np.ndarray,
    threshold: float,
    how: Instances = Instances(),
    stack: Stack | None = None,
    pages: list[tuple[int, ...]] | None = None,
    pixel_size: tuple[float, float] | None = None,
    unit: str = "um",
) -> Generator[Step, None, Objects]:
    """Class ids and objects of probabilities (K, pages, H, W), or (1, pages, H, W) of two classes.

    With a stack and the pages of it that these are, the table has their brightness. pixel_size:
    (height, width) of a pixel in `unit`. Raises CunetError for a threshold outside 0 to 1.
    """
    if not 0 <= threshold <= 1:
        raise CunetError(f"threshold: expected a number from 0 to 1, found {threshold}")
    count = probability.shape[1]
    mask = np.empty(probability.shape[1:], np.uint8)
    labels = np.empty(probability.shape[1:], np.int32)
    tables, highest, start = [], 0, time.perf_counter()
    for number in range(count):
        page = np.moveaxis(probability[:, number], 0, -1)
        page = np.concatenate([1 - page, page], axis=-1) if page.shape[-1] == 1 else page
        mask[number] = classes(page, threshold)
        here, _ = numbers(mask[number], how)
        pixels = None
        if stack is not None and pages is not None:
            pixels = stack.page(pages[number])[slice(0, stack.height), slice(0, stack.width)]
        measured = cunet.objects(here, pixels, pixel_size=pixel_size, unit=unit)[1]
        tables.append(_numbered(measured, number, highest, count > 1))
        labels[number] = np.where(here > 0, here + highest, 0)
        highest += int(here.max(initial=0))
        left = (time.perf_counter() - start) / (number + 1) * (count - number - 1)
        yield Step(number + 1, count, left, "pages of objects")
    columns = {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}
    return Objects(mask, labels, columns)


def _numbered(
    table: dict[str, np.ndarray], page: int, before: int, several: bool
) -> dict[str, np.ndarray]:
    """The table of a page, whose objects follow those `before`; "index" is how napari calls the
    number of a label."""
    rest = {name: column for name, column in table.items() if name != "label"}
    first = {"index": table["label"] + before}
    if several:
        first["page"] = np.full(len(table["label"]), page)
    return first | rest
