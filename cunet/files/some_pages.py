"""Some consecutive pages of an open image, read as if they were all of it."""

import numpy as np

from cunet.files.image_file import ImageFile


class SomePages(ImageFile):
    """Pages first ... last-1 of an open image, counted from 0 again."""

    def __init__(self, image: ImageFile, first: int, last: int) -> None:
        if not 0 <= first < last <= image.pages:
            raise ValueError(f"'{image.path}' has {image.pages} pages, not pages {first} to {last}")
        self.image, self.first, self.pages = image, first, last - first
        self.path, self.height, self.width = image.path, image.height, image.width
        self.channels, self.dtype, self.axes = image.channels, image.dtype, image.axes
        self.calibration, self.streamed, self.lossy = image.calibration, image.streamed, image.lossy
        self.notes, self.doubts, self.no_data = image.notes, image.doubts, image.no_data
        self.white = image.white
        z, y, x = image.translation
        self.translation = z + first * (image.calibration.spacing or 1.0), y, x

    @property
    def page_axes(self) -> tuple[tuple[str, int], ...]:
        axes = self.image.page_axes
        return ((axes[0][0], self.pages),) if len(axes) == 1 else axes

    def _rows(self, page: int, r0: int, r1: int) -> np.ndarray:
        return self.image.read_rows(self.first + page, r0, r1)

    def _window(self, page: int, r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
        return self.image.read_window(self.first + page, r0, r1, c0, c1)

    def _block(self, p0: int, p1: int, r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
        return self.image.read_block(self.first + p0, self.first + p1, r0, r1, c0, c1)

    @property
    def white_is_zero(self) -> bool:
        return self.image.white_is_zero

    def colour_table(self) -> np.ndarray | None:
        return self.image.colour_table()

    def close(self) -> None:
        self.image.close()
