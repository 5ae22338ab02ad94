"""What formats share that are decoded as a whole: the picture is read once and kept."""

import numpy as np
from PIL import Image

from cunet.files.image_file import ImageFile
from cunet.threads import strips


class WholeImage(ImageFile):
    """A picture of one page that is held whole; its format has _decode."""

    pages, streamed = 1, False
    _kept: np.ndarray | None = None

    def _decode(self) -> np.ndarray:
        """All pixels (H, W, C). Raises DataError for damage."""
        raise NotImplementedError

    def _pixels(self, image: Image.Image) -> np.ndarray:
        """Those of an open Pillow image (H, W, C), without an alpha channel."""
        values = np.empty((self.height, self.width, self.channels), self.dtype)
        for rows in strips(self.height, 4 * self.width):  # Pillow copies what it hands over
            part = np.asarray(image.crop((0, rows.start, self.width, rows.stop)))
            part = part.reshape(*values[rows].shape[:2], -1)
            values[rows] = part[..., : self.channels]
        return values

    def _rows(self, page: int, r0: int, r1: int) -> np.ndarray:
        if self._kept is None:
            self._kept = self._decode()
        return self._kept[r0:r1].copy()

    def close(self) -> None:
        self._kept = None
