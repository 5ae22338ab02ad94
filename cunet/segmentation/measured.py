"""The products table and rois: the objects of labels as numbers, and as outlines for ImageJ."""

from pathlib import Path
from typing import Any

import numpy as np

from cunet.data.values import check_values
from cunet.files.atomic import Part
from cunet.files.frames import Frames
from cunet.files.image_file import ImageFile
from cunet.measuring import csv_text
from cunet.measuring.rois import RoiFile, place_of, rois_of
from cunet.measuring.scale import scale_of
from cunet.measuring.table import measure
from cunet.segmentation.how import Found, How, Sink


class TableFile(Sink):
    """table: a row for each object, page after page, in the numbers of labels.

    page counts from 0, as --pages does. intensities: the image that brightness is measured in, page
    by page beside `image`; None leaves these columns out.
    """

    def __init__(
        self, path: Path, image: ImageFile, found: Found, classes: int, frames: Frames, how: How,
        intensities: ImageFile | None,
    ):  # fmt: skip
        super().__init__(path, image, found)
        self.classes, self.how, self.intensities = classes, how, intensities
        self.scale = scale = scale_of(frames.calibration)
        if scale.unit and not scale.square:
            self.notes.append(
                f"pixels are not square ({scale.width:g} x {scale.height:g} {scale.unit}, width x "
                "height): the perimeter is given in pixels only"
            )
        self.file = Part(path)

    def page_done(self, number: int, page: int) -> None:
        def brightness(r0: int, r1: int) -> np.ndarray:
            rows = self.intensities.read_rows(page, r0, r1)  # type: ignore[union-attr]
            check_values(rows, f"'{self.intensities.path}' page {page}", r0)  # type: ignore[union-attr]
            return rows

        rows = None if self.intensities is None else brightness
        table = measure(self.found.numbers, self.scale, rows)
        first = {"page": np.full(len(table["label"]), page), "label": table.pop("label")}
        if self.classes > 2:
            first["class"] = 1 + np.searchsorted(self.found.ends, first["label"])
        table = first | table
        if number == 0:
            self.file.add(csv_text.header([*table]))
        self.file.add(csv_text.rows(table, self.how.text("table")))

    def finish(self) -> None:
        self.file.publish()

    def __exit__(self, *error: Any) -> None:
        self.file.discard()


class RoiZip(Sink):
    """rois: the outline of every object, at its page of the image."""

    def __init__(self, path: Path, image: ImageFile, found: Found, how: How):
        super().__init__(path, image, found)
        self.how, self.file = how, RoiFile(path)

    def page_done(self, number: int, page: int) -> None:
        self.file.add(rois_of(self.found.numbers, page, place_of(self.image, page)))

    def finish(self) -> None:
        self.file.close(self.how.text("rois"))

    def __exit__(self, *error: Any) -> None:
        self.file.discard()
