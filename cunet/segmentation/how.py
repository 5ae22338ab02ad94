"""How to segment, and what every product of a segmentation has in common."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cunet.errors import CunetError
from cunet.files.image_file import ImageFile
from cunet.files.pixel_size import PixelSize
from cunet.segmentation.instances import Instances
from cunet.segmentation.made_by import without_threshold
from cunet.segmentation.objects import find

PRODUCTS = ("prob", "mask", "labels", "overlay", "ctc", "table", "rois")
ENDINGS = dict.fromkeys(PRODUCTS, ".tif") | {"overlay": ".png", "table": ".csv", "rois": ".zip"}
NUMBERED = ("labels", "ctc", "table", "rois")  # the products that hold objects


@dataclass(frozen=True)
class How:
    """How to segment: see `cunet segment --help`."""

    tile: int = 572  # tile, average and stride: how the network is applied, see segment.bands
    average: str = "none"
    stride: str = "exact"
    threshold: float = 0.5  # of class 1, where there are two classes
    instances: Instances = Instances()  # how a mask becomes objects, in NUMBERED and overlay
    distinct: bool = False  # overlay: outline every object, else the mask
    pixel_size: str | None = None  # of the image; None: what its file says
    rescale: bool = False  # to the pixel size of the network, see view.py
    invert: bool = False  # exchange bright and dark first
    description: str = ""  # written into the files: what they were made from
    measured: str = ""  # added to it in the table: what intensities were measured in

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:  # NaN is among these
            raise CunetError(f"--threshold: expected a number from 0 to 1, found {self.threshold}")
        if self.pixel_size is not None:
            PixelSize.parse(self.pixel_size, "--pixel-size")

    def text(self, product: str) -> str:
        """What a file of this product was made from and how, as it is written into the file."""
        if product == "prob":
            return without_threshold(self.description)
        parts = [self.description]
        if product == "overlay" and self.distinct:
            parts.append("outlines of objects")
        if product in NUMBERED or (product == "overlay" and self.distinct):
            parts.append(self.instances.text())
        if product == "table":
            parts.append(self.measured)
        return ", ".join(filter(None, parts))


class Found:
    """The classes (H, W) of the page at hand, and the objects in it; all sinks share them."""

    def __init__(self, height: int, width: int, how: Instances):
        self.height, self.width, self._how = height, width, how
        self.page = np.zeros((0, 0), np.uint8)
        self._numbered: tuple[np.ndarray, list[int]] | None = None

    def band(self, first: int, found: np.ndarray) -> None:
        """The classes of rows `first` and on; row 0 begins a new page."""
        if first == 0:
            self._numbered = None
            if self.page.shape != (self.height, self.width):
                self.page = np.empty((self.height, self.width), np.uint8)
        self.page[first : first + len(found)] = found

    @property
    def numbers(self) -> np.ndarray:
        """The objects of the page, (H, W) int32; looked for once."""
        return self._found[0]

    @property
    def ends(self) -> list[int]:
        """Of each class from 1 on the highest number of its objects."""
        return self._found[1]

    @property
    def counted(self) -> int | None:
        """How many objects the page has; None where no sink has looked for them."""
        return None if self._numbered is None else self._numbered[1][-1]

    @property
    def _found(self) -> tuple[np.ndarray, list[int]]:
        if self._numbered is None:
            self._numbered = numbers(self.page, self._how)
        return self._numbered


class Sink:
    """Receives the bands of each page, page_done, at last finish; an error leaves no file.

    notes: what a user must hear of the product.
    """

    def __init__(self, path: Path, image: ImageFile, found: Found):
        self.path, self.image, self.found = path, image, found
        self.notes: list[str] = []

    def band(self, number: int, first: int, probability: np.ndarray, found: np.ndarray) -> None:
        """Collect the classes of one page."""
        self.found.band(first, found)

    def page_done(self, number: int, page: int) -> None:
        """Page `page` of the image, the `number`-th of those asked for, is complete."""

    def finish(self) -> None:
        """All pages are complete."""

    def __enter__(self) -> "Sink":
        return self

    def __exit__(self, *error: Any) -> None:
        """Nothing is held open."""


def numbers(found: np.ndarray, how: Instances) -> tuple[np.ndarray, list[int]]:
    """The objects of each class > 0, numbered from 1 over all classes, int32; and of each class
    from 1 on the highest number of its objects.

    An object of one class that lies in a filled hole of another keeps its pixels.
    """
    numbered = find(found == 1, how)
    ends = [int(numbered.max(initial=0))]
    for k in range(2, int(found.max(initial=0)) + 1):
        more = find(found == k, how)
        own = (more > 0) & ((found == k) | (numbered == 0))
        numbered = np.where(own, more + ends[-1], numbered).astype(np.int32)
        ends.append(max(ends[-1], int(numbered.max(initial=0))))
    return numbered, ends
