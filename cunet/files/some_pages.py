"""Some consecutive pages of an open image, read as if they were all of it."""

import numpy as np

from cunet.files.image_file import ImageFile, ImageReadAs


class SomePages(ImageReadAs):
    """Pages first ... last-1 of an open image, counted from 0 again."""

    def __init__(self, image: ImageFile, first: int, last: int) -> None:
        if not 0 <= first < last <= image.pages:
            raise ValueError(f"'{image.path}' has {image.pages} pages, not pages {first} to {last}")
        super().__init__(image)
        self.first, self.pages = first, last - first
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

    def shows_no_data(self, page: int) -> bool:
        return self.image.shows_no_data(self.first + page)

    @property
    def white_is_zero(self) -> bool:
        return self.image.white_is_zero

    def colour_table(self) -> np.ndarray | None:
        return self.image.colour_table()
