"""How to segment, and what every product of a segmentation has in common."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cunet.errors import CunetError
from cunet.files.image_file import ImageFile
from cunet.segmentation.objects import Instances, find

PRODUCTS = ("prob", "mask", "labels", "overlay", "ctc")
ENDINGS = {"prob": ".tif", "mask": ".tif", "labels": ".tif", "overlay": ".png", "ctc": ".tif"}
NUMBERED = ("labels", "ctc")  # the products that hold objects


@dataclass(frozen=True)
class How:
    """How to segment: see `cunet segment --help`."""

    tile: int = 572  # tile, average and stride: how the network is applied, see tiling.bands
    average: str = "none"
    stride: str = "exact"
    threshold: float = 0.5  # of class 1, where there are two classes
    instances: Instances = Instances()  # how a mask becomes objects, in labels, ctc and overlay
    distinct: bool = False  # overlay: outline every object, else the mask
    description: str = ""  # written into the files: what they were made from

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:  # NaN is among these
            raise CunetError(f"--threshold: expected a number from 0 to 1, found {self.threshold}")

    def text(self, product: str) -> str:
        """What a file of this product was made from and how, as it is written into the file."""
        parts = [self.description]
        if product == "overlay" and self.distinct:
            parts.append("outlines of objects")
        if product in NUMBERED or (product == "overlay" and self.distinct):
            parts.append(self.instances.text())
        return ", ".join(filter(None, parts))


class Sink:
    """Receives the bands of each page, page_done, at last finish; an error leaves no file.

    warnings: what a user must hear of the finished file.
    """

    def __init__(self, path: Path, image: ImageFile):
        self.path, self.image = path, image
        self.warnings: list[str] = []
        self.page = np.zeros((0, 0), np.uint8)

    def band(self, number: int, first: int, probability: np.ndarray, found: np.ndarray) -> None:
        """Collect the classes of one page."""
        if first == 0:
            self.page = np.empty((self.image.height, self.image.width), np.uint8)
        self.page[first : first + len(found)] = found

    def page_done(self, number: int, page: int) -> None:
        """Page `page` of the image, the `number`-th of those asked for, is complete."""

    def finish(self) -> None:
        """All pages are complete."""

    def __enter__(self) -> "Sink":
        return self

    def __exit__(self, *error: Any) -> None:
        """Nothing is held open."""


def numbers(found: np.ndarray, how: Instances) -> np.ndarray:
    """The objects of each class > 0, numbered from 1 over all classes; int32.

    An object of one class that lies in a filled hole of another keeps its pixels.
    """
    numbered = find(found == 1, how)
    for k in range(2, int(found.max(initial=0)) + 1):
        more = find(found == k, how)
        own = (more > 0) & ((found == k) | (numbered == 0))
        numbered = np.where(own, more + numbered.max(initial=0), numbered).astype(np.int32)
    return numbered
