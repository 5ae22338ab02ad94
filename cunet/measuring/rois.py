"""Objects as ImageJ's regions of interest, which its ROI Manager opens as one zip file.

An object of one piece without holes is a traced polygon, as ImageJ's wand makes it. ImageJ's
polygons have no holes: any other object is a composite of several outlines. Both cover exactly the
object's pixels.
"""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cunet.files.atomic import Part
from cunet.files.descriptions import stored_text
from cunet.files.disk import write_error
from cunet.files.image_file import ImageFile
from cunet.measuring.outlines import outlines

if TYPE_CHECKING:
    from roifile import ImagejRoi

LARGEST_WHOLE = 32767  # of a coordinate that the 16 bits of ImageJ's whole numbers surely hold
MOVE, LINE, CLOSE = 0, 1, 4  # the steps of an outline in a composite
FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # of a zip; the same in every file, so that bytes repeat
UNIX = 3
VERSION = 228  # of ImageJ's format; from 222 on it has coordinates that are no whole numbers


def place_of(image: ImageFile, page: int) -> dict[str, int]:
    """Where a page of an image stands in ImageJ's stack, counted from 1, as its ROIs name it.

    Of a stack that is its number; where there are channels as well, or two axes, it is the slice
    and the frame.
    """
    axes = image.page_axes
    channels = image.channels > 1 and "S" not in image.axes
    if len(axes) < 2 and not channels:
        return {"position": page + 1}
    places = np.unravel_index(page, [size for _, size in axes]) if axes else ()
    names = ["t_position" if axis == "T" else "z_position" for axis, _ in axes]
    return {name: int(place) + 1 for name, place in zip(names, places, strict=True)}


def rois_of(labels: np.ndarray, page: int, place: dict[str, int]) -> Iterator["ImagejRoi"]:
    """The ROI of every object in labels (H, W), by number; page: the number in their names."""
    for number, polygons in outlines(labels):
        yield roi_of(polygons, f"page{page}_label{number}", place)


def roi_of(polygons: list[np.ndarray], name: str, place: dict[str, int]) -> "ImagejRoi":
    """The ROI of one object from its outlines, each (n, 2) of corners (x, y)."""
    from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi

    everything = np.concatenate(polygons)
    (left, top), (right, bottom) = everything.min(axis=0).tolist(), everything.max(axis=0).tolist()
    roi = ImagejRoi(name=name, version=VERSION, top=top, left=left, bottom=bottom, right=right)
    for axis, number in place.items():
        setattr(roi, axis, number)
    if len(polygons) == 1:
        (corners,) = polygons
        roi.roitype, roi.n_coordinates = ROI_TYPE.TRACED, len(corners)
        roi.integer_coordinates = (corners - [left, top]).astype(np.int32)
        if everything.max() > LARGEST_WHOLE:
            roi.options |= ROI_OPTIONS.SUB_PIXEL_RESOLUTION
            roi.subpixel_coordinates = corners.astype(np.float32)
        return roi
    steps: list[float] = []
    for corners in polygons:
        for step, (x, y) in enumerate(corners.tolist()):
            steps += [LINE if step else MOVE, x, y]
        steps.append(CLOSE)
    roi.roitype, roi.shape_roi_size = ROI_TYPE.RECT, len(steps)
    roi.multi_coordinates = np.array(steps, np.float32)
    return roi


class RoiFile:
    """A zip of ROIs that appears at `path` when `close` is called, and not at all before.

    The same objects give the same bytes on every machine: nothing is compressed, and all dates are
    the first that a zip knows.
    """

    def __init__(self, path: Path):
        self.part = Part(path)
        self.zip = zipfile.ZipFile(self.part.file, "w", zipfile.ZIP_STORED)

    def add(self, rois: Iterator["ImagejRoi"]) -> None:
        """Write ROIs; DeviceError where the disk has no room."""
        with self._told():
            for roi in rois:
                entry = zipfile.ZipInfo(f"{roi.name}.roi", FIRST_DATE)
                entry.create_system, entry.external_attr = UNIX, 0o644 << 16
                self.zip.writestr(entry, roi.tobytes())

    def close(self, description: str) -> None:
        """Write the end, with the description as the zip's comment, and give the file its name."""
        with self._told():
            self.zip.comment = stored_text(description).encode("ascii")
            self.zip.close()
        self.part.publish()

    def discard(self) -> None:
        """Remove what was written; after `close` there is nothing to remove."""
        if self.zip.fp is not None:  # or it would write its end when it is forgotten
            self.zip.fp = io.BytesIO()
        self.part.discard()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """An error of the disk as the error to raise."""
        try:
            yield
        except OSError as error:
            self.discard()
            raise write_error(error, self.part.path) from error
