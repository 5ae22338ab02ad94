"""Probabilities in image files, of any program: fractions, or integers up to the largest of their
type."""

from collections.abc import Sequence

import numpy as np

from cunet.data.suspicion import numbers_in, objects_on_ground
from cunet.errors import DataError
from cunet.files.image_file import ArrayImage, ImageFile
from cunet.files.ome_zarr import OmeZarrImage
from cunet.files.picture_input import PictureImage

FAINT = 0.01  # a highest value below it, of integers, is hardly a probability


def object_numbers(pages: Sequence[np.ndarray]) -> int:
    """How many numbers integers (H, W) hold, where these number objects in place of being
    probabilities; else 0."""
    numbers = set().union(*(numbers_in(page).tolist() for page in pages))
    return len(numbers) if len(numbers) > 3 and objects_on_ground(pages) else 0


def probabilities(image: ImageFile, page: int, r0: int = 0, r1: int | None = None) -> np.ndarray:
    """Rows r0 ... r1-1 of a page (r1 - r0, W, C) as probabilities from 0 to 1: float32 as stored,
    all else float64.

    Integers are divided by the largest of their type. DataError for numbers outside 0 to 1.
    """
    integer = image.dtype.kind != "f"
    highest = largest_integer(image) if integer else 1
    small = not integer and image.dtype.itemsize <= 4
    rows = image.read_rows(page, r0, image.height if r1 is None else r1)
    values = rows.astype("f4" if small else "f8")
    if integer:
        values /= highest
    wrong = ~((values >= 0) & (values <= 1))  # NaN is among them
    if wrong.any():
        row, column, channel = np.argwhere(wrong)[0]
        expected = f"integers from 0 to {highest}" if integer else "probabilities from 0 to 1"
        raise DataError(
            f"'{image.path}' page {page} holds {float(values[row, column, channel]) * highest!r} "
            f"at row {r0 + row}, column {column}; expected {expected}. Are these logits, or grey "
            "values? Save probabilities, NaN and infinity not among them."
        )
    return values


def divided_by(image: ImageFile) -> str:
    """How integers became probabilities, for a line that describes the file; "" for others."""
    highest = largest_integer(image) if image.dtype.kind != "f" else 1
    return f", divided by {highest}" if highest > 1 else ""


def largest_integer(image: ImageFile) -> int:
    """The largest integer that a pixel of the file can hold: 255 with 8 bits, 1 with one bit.

    The bits are counted in the file, since NumPy may hold them in a larger type.
    """
    import tifffile

    if isinstance(image, PictureImage):
        return image.highest
    if isinstance(image, ArrayImage):
        return 1 if image.dtype.kind == "b" else int(np.iinfo(image.dtype).max)
    if isinstance(image, OmeZarrImage):
        if image.label:
            raise DataError(
                f"'{image.path}' is a label image, whose numbers are classes or objects; expected "
                "probabilities: give the image that it belongs to"
            )
        return 1 if image.array.dtype.kind == "b" else int(np.iinfo(image.dtype).max)
    with open(image.path, "rb") as file:
        header = file.read(25)
    if header.startswith(b"\x89PNG"):
        bits = header[24]
    else:
        with tifffile.TiffFile(image.path) as file:
            bits = file.pages.first.bitspersample
        bits = max(bits) if isinstance(bits, tuple) else bits  # an alpha channel has its own
    return 2 ** (bits - (image.dtype.kind == "i")) - 1
