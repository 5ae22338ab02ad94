"""An open image file: pages of height x width x channels, read whole or by rows."""

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from cunet.errors import CunetError
from cunet.files.calibration import Calibration


class ImageFile:
    """What all formats have in common; made by `open_image`.

    path         the file
    pages        number of slices, >= 1
    height, width, channels
    dtype        of the pixels as stored, in the machine's byte order
    white        the largest value of whole numbers of 8 bits or fewer: 1 where pixels are bits
    axes         as the metadata names them, such as 'ZYX' or 'YXS'
    calibration  the pixel size
    streamed     whether rows can be read without the whole page in memory
    notes        what to tell the user, such as a dropped alpha channel
    no_data      the value that its metadata name for pixels which hold no data
    doubts       those of the notes that may mean a wrong result: to be told as warnings
    lossy        whether its compression has changed the values a little
    translation  where the middle of the first voxel lies along z, y and x, in units of its size
    """

    path: Path
    pages: int
    height: int
    width: int
    channels: int
    dtype: np.dtype
    white: int = 255
    axes: str
    calibration: Calibration = Calibration()
    streamed: bool
    notes: tuple[str, ...]
    doubts: tuple[str, ...] = ()
    lossy: bool = False
    no_data: float | None = None
    translation: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def page_axes(self) -> tuple[tuple[str, int], ...]:
        """The axes that make up the pages and their lengths, such as (("T", 2), ("Z", 3)).

        The last one is the fastest. I and Q are pages without a name; one page has no axes.
        """
        return (("Q", self.pages),) if self.pages > 1 else ()

    def read(self, page: int) -> np.ndarray:
        """One page (H, W, C) in the dtype of the file."""
        return self.read_rows(page, 0, self.height)

    def read_rows(self, page: int, r0: int, r1: int) -> np.ndarray:
        """Rows r0 ... r1-1 of a page, (r1 - r0, W, C); decodes only what holds these rows."""
        self.check_page(page)
        self._check_rows(r0, r1)
        return self._rows(page, r0, r1)

    def read_window(self, page: int, r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
        """Rows r0 ... r1-1 and columns c0 ... c1-1 of a page, (r1 - r0, c1 - c0, C).

        Of a file in tiles or chunks only those that hold the window are decoded.
        """
        self.check_page(page)
        self._check_rows(r0, r1)
        self._check_columns(c0, c1)
        return self._window(page, r0, r1, c0, c1)

    def read_block(self, p0: int, p1: int, r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
        """The same window of pages p0 ... p1-1, (p1 - p0, r1 - r0, c1 - c0, C).

        Of a file whose chunks span several pages each chunk is decoded once.
        """
        if not 0 <= p0 <= p1 <= self.pages:
            raise ValueError(f"'{self.path}' has {self.pages} pages, not pages {p0} to {p1}")
        self._check_rows(r0, r1)
        self._check_columns(c0, c1)
        return self._block(p0, p1, r0, r1, c0, c1)

    def _check_rows(self, r0: int, r1: int) -> None:
        if not 0 <= r0 <= r1 <= self.height:
            raise ValueError(f"'{self.path}' has {self.height} rows, not rows {r0} to {r1}")

    def _check_columns(self, c0: int, c1: int) -> None:
        if not 0 <= c0 <= c1 <= self.width:
            raise ValueError(f"'{self.path}' has {self.width} columns, not columns {c0} to {c1}")

    def check_page(self, page: int) -> None:
        """Raises CunetError where the image has no such page."""
        if not 0 <= page < self.pages:
            raise CunetError(f"'{self.path}' has pages 0 to {self.pages - 1}, not {page}")

    def sample(self, page: int) -> np.ndarray:
        """About 48 rows (rows, W, C) spread over a page, in the dtype of the file."""
        rows = np.unique(np.linspace(0, self.height - 1, 48).astype(int))
        return np.concatenate([self.read_rows(page, r, r + 1) for r in rows])

    def _rows(self, page: int, r0: int, r1: int) -> np.ndarray:
        raise NotImplementedError

    def _window(self, page: int, r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
        return self._rows(page, r0, r1)[:, c0:c1]

    def _block(self, p0: int, p1: int, r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
        block = np.empty((p1 - p0, r1 - r0, c1 - c0, self.channels), self.dtype)
        for page in range(p0, p1):
            block[page - p0] = self._window(page, r0, r1, c0, c1)
        return block

    def shows_no_data(self, page: int) -> bool:
        """Whether a sample of a page holds the value of no_data, as the file has it."""
        return self.no_data is not None and bool((self.sample(page) == self.no_data).any())

    @property
    def white_is_zero(self) -> bool:
        """Whether viewers show 0 as white; the values are read as they are stored."""
        return False

    def colour_table(self) -> np.ndarray | None:
        """The colours (n, 3) uint8 in which viewers show the values; None without a table."""
        return None

    def close(self) -> None:
        """Closes the file; nothing can be read after it."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class ImageReadAs(ImageFile):
    """An open image that is read as another one; it is like the other one in all that whoever
    derives from this does not say otherwise."""

    def __init__(self, image: ImageFile) -> None:
        self.image = image
        self.path, self.pages, self.height, self.width = (
            image.path, image.pages, image.height, image.width
        )  # fmt: skip
        self.channels, self.dtype, self.white, self.axes = (
            image.channels, image.dtype, image.white, image.axes
        )  # fmt: skip
        self.calibration, self.translation = image.calibration, image.translation
        self.streamed, self.lossy, self.no_data = image.streamed, image.lossy, image.no_data
        self.notes, self.doubts = image.notes, image.doubts

    @property
    def page_axes(self) -> tuple[tuple[str, int], ...]:
        return self.image.page_axes

    def shows_no_data(self, page: int) -> bool:
        return self.image.shows_no_data(page)

    def close(self) -> None:
        self.image.close()


class ArrayImage(ImageFile):
    """An array (n, H, W, C) that is read like an open image file; `path` is its name in errors."""

    def __init__(self, array: np.ndarray, name: str):
        self.path, self.array = Path(name), array
        self.pages, self.height, self.width, self.channels = array.shape
        self.dtype, self.notes, self.streamed = array.dtype, (), True
        self.axes = "ZYX" if self.channels == 1 else "ZYXC"

    def _rows(self, page: int, r0: int, r1: int) -> np.ndarray:
        return self.array[page, r0:r1]

    def close(self) -> None:
        """Nothing is held open."""
