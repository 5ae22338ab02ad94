"""The files of a segmentation: each product receives bands of probabilities and becomes a file."""

from pathlib import Path
from typing import Any

import numpy as np

from cunet.errors import CunetError
from cunet.files import write_png
from cunet.files.atomic import Part
from cunet.files.display import Display, for_numbers
from cunet.files.frames import Frames
from cunet.files.image_file import ImageFile
from cunet.files.tiff_output import TiffOutput
from cunet.pictures.colours import class_colours, object_colours
from cunet.segmentation.how import NUMBERED, Found, How, Sink
from cunet.segmentation.measured import RoiZip, TableFile
from cunet.segmentation.overlay import Overlay, overlay_path
from cunet.terminal import plural
from cunet.threads import strips


def make_sink(
    product: str, path: Path, image: ImageFile, found: Found, classes: int, frames: Frames,
    how: How, intensities: ImageFile | None,
) -> Sink:  # fmt: skip
    """What writes one product of the chosen pages to one file; of `classes` classes.

    intensities: where the table measures brightness, or None.
    CunetError where its format cannot hold it.
    """
    pages = frames.pages
    if product == "table":
        return TableFile(path, image, found, classes, frames, how, intensities)
    if product == "rois":
        return RoiZip(path, image, found, how)
    if path.suffix.lower() == ".png" and product != "overlay":
        if product in ("prob", "ctc") or pages > 1:
            raise CunetError(
                f"'{path}': {product} of {plural(pages, 'page')} cannot be a PNG; use a name "
                "ending in .tif"
            )
        return PagePng(product, path, image, found, classes, how)
    if product == "overlay":
        return Overlay(path, image, found, classes, pages, how)
    if product in NUMBERED:
        return Labels(product, path, image, found, frames, how)
    return Tiff(product, path, image, found, classes, frames, how)


class Tiff(Sink):
    """prob or mask: written band by band."""

    def __init__(
        self, product: str, path: Path, image: ImageFile, found: Found, classes: int,
        frames: Frames, how: How,
    ):  # fmt: skip
        super().__init__(path, image, found)
        self.prob, self.two = product == "prob", classes == 2
        shown = Display(0, 1 if self.prob else 255)
        if not (self.prob or self.two):
            shown = Display(0, 255, class_colours(256))
        self.file = TiffOutput(
            path, frames.pages, image.height, image.width, np.float32 if self.prob else np.uint8,
            classes if self.prob and not self.two else 1,
            frames.calibration, how.text(product), frames.axes,
            shown,
        )  # fmt: skip
        self.notes += big_note(self.file)

    def band(self, number: int, first: int, probability: np.ndarray, found: np.ndarray) -> None:
        if self.prob:
            rows = probability[..., 1] if self.two else probability
            self.file.write_rows(number, first, rows)
        else:
            self.file.write_rows(number, first, found * np.uint8(255) if self.two else found)

    def __exit__(self, *error: Any) -> None:
        self.file.__exit__(*error)


class PagePng(Sink):
    """mask or labels of a single page as PNG."""

    def __init__(
        self, product: str, path: Path, image: ImageFile, found: Found, classes: int, how: How
    ):
        super().__init__(path, image, found)
        self.labels, self.two, self.how = product == "labels", classes == 2, how

    def finish(self) -> None:
        if self.labels:
            numbered = self.found.numbers
            if numbered.max(initial=0) > 65535:
                raise CunetError(f"'{self.path}': over 65,535 labels do not fit a PNG; use .tif")
            write_png(self.path, numbered.astype(np.uint16), self.how.text("labels"))
        else:
            page = self.found.page * np.uint8(255) if self.two else self.found.page
            write_png(self.path, page, self.how.text("mask"))


class Labels(Sink):
    """labels or ctc: objects numbered on each page; uint16, labels uint32 if a page has too many.

    Which type it is turns out at the last page; until then the numbers wait in a hidden file.
    """

    def __init__(
        self, product: str, path: Path, image: ImageFile, found: Found, frames: Frames, how: How
    ):
        super().__init__(path, image, found)
        self.product, self.frames, self.how, self.highest = product, frames, how, 0
        self.waiting = Part(path, 4 * frames.pages * image.height * image.width)

    def page_done(self, number: int, page: int) -> None:
        numbered = self.found.numbers
        self.highest = max(self.highest, int(numbered.max(initial=0)))
        if self.product == "ctc" and self.highest > 65535:
            raise CunetError(
                f"'{self.path}': {self.highest:,} objects, but the challenge's 16 bits number "
                "65,535; give --min-area, or --products labels"
            )
        self.waiting.add(numbered.data)

    def finish(self) -> None:
        height, width = self.image.height, self.image.width
        dtype = np.dtype(np.uint16 if self.highest <= 65535 else np.uint32)
        if dtype == np.uint32:
            self.notes.append(
                f"{self.path.name}: {self.highest:,} objects on a page need numbers of 32 bits, "
                "which ImageJ and Fiji open as float, exact up to 16,777,216, and without colours; "
                "give --min-area if many are specks"
            )
        frames, text = self.frames, self.how.text(self.product)
        self.waiting.file.seek(0)
        shown = for_numbers(self.highest, object_colours(255))
        with TiffOutput(
            self.path, frames.pages, height, width, dtype, 1, frames.calibration, text, frames.axes,
            shown,
        ) as output:  # fmt: skip
            self.notes += big_note(output)
            for number in range(frames.pages):
                for rows in strips(height, 4 * width):
                    part = self.waiting.file.read(4 * width * (rows.stop - rows.start))
                    block = np.frombuffer(part, np.int32).reshape(-1, width)
                    output.write_rows(number, rows.start, block.astype(dtype))

    def __exit__(self, *error: Any) -> None:
        self.waiting.discard()


def big_note(file: TiffOutput) -> list[str]:
    """What to say of a TIFF that ImageJ does not open by itself."""
    if not file.big:
        return []
    return [
        f"{file.path.name}: above 4 GB it is a BigTIFF, which ImageJ and Fiji open with File > "
        "Import > Bio-Formats alone; --pages makes smaller files"
    ]


def outputs(product: str, path: Path, pages: list[int]) -> list[Path]:
    """The files that make up a product of these pages."""
    if product != "overlay":
        return [path]
    return [overlay_path(path, page, len(pages) > 1) for page in pages]
