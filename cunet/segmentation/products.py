"""The files of a segmentation: each product receives bands of probabilities and becomes a file."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cunet.errors import CunetError
from cunet.files import write_png
from cunet.files.disk import write_error
from cunet.files.image_file import ImageFile
from cunet.files.tiff_output import TiffOutput
from cunet.net.unet import UNet
from cunet.pictures.colours import GOLD, class_colours, object_colours
from cunet.pictures.outlines import outline
from cunet.segmentation.objects import Instances, find
from cunet.threads import strips

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


def make_sink(
    product: str, path: Path, image: ImageFile, net: UNet, pages: int, how: How
) -> "Sink":
    """What writes one product to one file; CunetError where its format cannot hold it."""
    if path.suffix.lower() == ".png" and product != "overlay":
        if product in ("prob", "ctc") or pages > 1:
            raise CunetError(
                f"'{path}': {product} of {pages} page(s) cannot be a PNG; use a name ending in .tif"
            )
        return PagePng(product, path, image, net, how)
    if product == "overlay":
        return Overlay(path, image, net, pages, how)
    if product in NUMBERED:
        return Labels(product, path, image, pages, how)
    return Tiff(product, path, image, net, pages, how)


class Sink:
    """Receives the bands of each page, page_done, at last finish; an error leaves no file."""

    def __init__(self, path: Path, image: ImageFile):
        self.path, self.image = path, image
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


class Tiff(Sink):
    """prob or mask: written band by band."""

    def __init__(self, product: str, path: Path, image: ImageFile, net: UNet, pages: int, how: How):
        super().__init__(path, image)
        self.prob, self.two = product == "prob", net.shape.classes == 2
        self.file = TiffOutput(
            path, pages, image.height, image.width, np.float32 if self.prob else np.uint8,
            net.shape.classes if self.prob and not self.two else 1,
            image.calibration, how.description,
        )  # fmt: skip

    def band(self, number: int, first: int, probability: np.ndarray, found: np.ndarray) -> None:
        if self.prob:
            rows = (probability[..., 1] if self.two else probability).astype(np.float32)
            self.file.write_rows(number, first, rows)
        else:
            self.file.write_rows(number, first, found * np.uint8(255) if self.two else found)

    def __exit__(self, *error: Any) -> None:
        self.file.__exit__(*error)


class PagePng(Sink):
    """mask or labels of a single page as PNG."""

    def __init__(self, product: str, path: Path, image: ImageFile, net: UNet, how: How):
        super().__init__(path, image)
        self.labels, self.two, self.how = product == "labels", net.shape.classes == 2, how

    def finish(self) -> None:
        if self.labels:
            numbered = numbers(self.page, self.how.instances)
            if numbered.max(initial=0) > 65535:
                raise CunetError(f"'{self.path}': over 65,535 labels do not fit a PNG; use .tif")
            write_png(self.path, numbered.astype(np.uint16), self.how.text("labels"))
        else:
            page = self.page * np.uint8(255) if self.two else self.page
            write_png(self.path, page, self.how.text("mask"))


class Labels(Sink):
    """labels or ctc: objects numbered on each page; uint16, labels uint32 if a page has too many.

    Which type it is turns out at the last page; until then the numbers wait in a temporary file.
    """

    def __init__(self, product: str, path: Path, image: ImageFile, pages: int, how: How):
        super().__init__(path, image)
        self.product, self.pages, self.how, self.highest = product, pages, how, 0
        try:
            self.waiting = tempfile.TemporaryFile(dir=path.parent)
        except OSError as error:
            raise write_error(error, path, self._bytes()) from error

    def _bytes(self) -> int:
        return 4 * self.pages * self.image.height * self.image.width

    def page_done(self, number: int, page: int) -> None:
        numbered = numbers(self.page, self.how.instances)
        self.highest = max(self.highest, int(numbered.max(initial=0)))
        if self.product == "ctc" and self.highest > 65535:
            raise CunetError(
                f"'{self.path}': {self.highest:,} objects, but the challenge's 16 bits number "
                "65,535; give --min-area, or --products labels"
            )
        try:
            self.waiting.write(numbered.data)
        except OSError as error:
            raise write_error(error, self.path, self._bytes()) from error

    def finish(self) -> None:
        height, width = self.image.height, self.image.width
        dtype = np.dtype(np.uint16 if self.highest <= 65535 else np.uint32)
        shape = self.pages, height, width
        calibration, text = self.image.calibration, self.how.text(self.product)
        self.waiting.seek(0)
        with TiffOutput(self.path, *shape, dtype, 1, calibration, text) as output:
            for number in range(self.pages):
                for rows in strips(height, 4 * width):
                    part = self.waiting.read(4 * width * (rows.stop - rows.start))
                    block = np.frombuffer(part, np.int32).reshape(-1, width)
                    output.write_rows(number, rows.start, block.astype(dtype))

    def __exit__(self, *error: Any) -> None:
        self.waiting.close()


class Overlay(Sink):
    """Outlines of the mask, or of every object (how.distinct), on the image; a PNG for each page.

    With two classes the mask's outline is orange, and every object has a colour of its own. With
    more, mask and objects have the colours of their classes.
    """

    def __init__(self, path: Path, image: ImageFile, net: UNet, pages: int, how: How):
        super().__init__(path, image)
        self.several, self.how, self.classes = pages > 1, how, net.shape.classes
        self.made: list[Path] = []

    def page_done(self, number: int, page: int) -> None:
        image = self.image
        low, high = np.percentile(sampled_rows(image, page)[..., :3].mean(axis=2), (0.5, 99.5))
        picture = np.empty((image.height, image.width, 3), np.uint8)
        for rows in strips(image.height, 12 * image.width):
            grey = image.read_rows(page, rows.start, rows.stop)[..., :3].mean(axis=2)
            scaled = np.clip((grey - low) / max(high - low, 1e-9), 0, 1) * 255
            picture[rows] = scaled.astype(np.uint8)[..., None]
        edge, colours = self._outline()
        picture[edge] = colours
        path = overlay_path(self.path, page, self.several)
        write_png(path, picture, self.how.text("overlay"))
        self.made.append(path)

    def __exit__(self, *error: Any) -> None:
        if error[0] is not None:  # those of earlier pages are not left behind
            for path in self.made:
                path.unlink(missing_ok=True)

    def _outline(self) -> tuple[np.ndarray, np.ndarray | tuple[int, int, int]]:
        """Where the outline is, (H, W) bool, and its colour or the colours of its pixels."""
        shown = numbers(self.page, self.how.instances) if self.how.distinct else self.page
        edge = outline(shown)
        if self.classes > 2:
            edge &= self.page > 0  # a filled hole is of no class
            return edge, class_colours(self.classes)[self.page[edge]]
        if self.how.distinct:
            return edge, object_colours(int(shown.max(initial=0)))[shown[edge]]
        return edge, GOLD


def overlay_path(path: Path, page: int, several: bool) -> Path:
    """The file of a page's overlay; with several pages the page number is part of its name."""
    return path.with_name(f"{path.stem}_{page:04}{path.suffix}") if several else path


def outputs(product: str, path: Path, pages: list[int]) -> list[Path]:
    """The files that make up a product of these pages."""
    if product != "overlay":
        return [path]
    return [overlay_path(path, page, len(pages) > 1) for page in pages]


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


def sampled_rows(image: ImageFile, page: int) -> np.ndarray:
    """About 48 rows (rows, W, C) spread over a page, as float64."""
    rows = np.unique(np.linspace(0, image.height - 1, 48).astype(int))
    return np.concatenate([image.read_rows(page, r, r + 1) for r in rows]).astype(np.float64)
