"""Grey pictures and masks that a program saved as RGB or RGBA, read as the one channel they are;
and grey ones read as three equal channels, for a network that was made for colours."""

import numpy as np

from cunet.errors import DataError
from cunet.files.image_file import ImageFile, ImageReadAs


def as_grey(image: ImageFile, blank: bool = True) -> ImageFile:
    """The image itself, or one that reads its three equal channels as one.

    For what expects one channel. Some rows of the first page are compared now, each of the others
    when it is read: colours there are a DataError that names page and row, and nothing is held.
    `blank` says whether rows of one value, which show nothing of colours, count as grey.
    """
    if image.channels != 3 or "S" not in image.axes:
        return image
    rows = image.sample(0)
    if not _equal(rows).all() or not (blank or rows.min() != rows.max()):
        return image
    return GreyImage(image)


def as_colour(image: ImageFile) -> ImageFile:
    """The image itself, or one that reads its one channel as three equal ones."""
    return ColourImage(image) if image.channels == 1 else image


class GreyImage(ImageReadAs):
    """An open image of three equal channels, read as one channel."""

    def __init__(self, image: ImageFile) -> None:
        super().__init__(image)
        self.channels, self.axes = 1, image.axes.replace("S", "")
        self.notes = (*image.notes, "three equal channels: read as one, grey")

    def _rows(self, page: int, r0: int, r1: int) -> np.ndarray:
        return self._window(page, r0, r1, 0, self.width)

    def _window(self, page: int, r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
        rows = self.image.read_window(page, r0, r1, c0, c1)
        equal = _equal(rows)
        if not equal.all():
            row = r0 + int(np.argmin(equal.all(axis=1)))
            raise DataError(
                f"'{self.path}' was taken for grey, as its channels are equal at first, but page "
                f"{page} has colours in row {row}. Save it in grey."
            )
        return rows[..., :1]


class ColourImage(ImageReadAs):
    """An open image of one channel, read as three equal ones."""

    def __init__(self, image: ImageFile) -> None:
        super().__init__(image)
        self.channels, self.axes = 3, f"{image.axes}S"
        self.notes = (*image.notes, "grey: read as three equal channels, as the model wants")

    def _rows(self, page: int, r0: int, r1: int) -> np.ndarray:
        return self.image.read_rows(page, r0, r1).repeat(3, axis=-1)

    def _window(self, page: int, r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
        return self.image.read_window(page, r0, r1, c0, c1).repeat(3, axis=-1)

    def _block(self, p0: int, p1: int, r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
        return self.image.read_block(p0, p1, r0, r1, c0, c1).repeat(3, axis=-1)


def _equal(rows: np.ndarray) -> np.ndarray:
    """Which pixels (rows, W) have the same value in all channels; NaN is equal to NaN."""
    first = rows[..., :1]
    return ((rows == first) | ((rows != rows) & (first != first))).all(axis=2)
