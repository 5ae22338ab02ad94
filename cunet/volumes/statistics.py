"""The first pass that some networks need: mean and deviation of every section of its own.

Whoever comes to a section first reads it whole, in bands, and leaves its numbers in the books. Two
who come at once find the same.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from cunet.data.values import check_values
from cunet.errors import DataError
from cunet.files.atomic import write_text
from cunet.files.image_file import ImageFile
from cunet.files.json_file import json_text, read_json
from cunet.net.normalization import Normalization
from cunet.volumes.books import Books


class Statistics:
    """The normalisation of each section of an image, for a network."""

    def __init__(self, normalization: Normalization, image: ImageFile, books: Books):
        self.normalization, self.image = normalization, image
        self._folder = books.folder / "statistics"

    def of(self, page: int) -> Normalization:
        """That of a section: the network's own, unless it takes every image's."""
        if not self.normalization.per_image:
            return self.normalization
        path = self._folder / f"{page:07}.json"
        if not path.is_file():
            self._fit(page, path)
        return self._read(path)

    def _fit(self, page: int, path: Path) -> None:
        def rows(r0: int, r1: int) -> np.ndarray:
            pixels = self.image.read_rows(page, r0, r1)
            check_values(pixels, f"'{self.image.path}' page {page}", r0)
            return pixels

        found = self.normalization.fitted(rows, self.image.height)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json_text({"mean": found.mean, "deviation": found.deviation}))

    def _read(self, path: Path) -> Normalization:
        try:
            found = read_json(path)
            mean, deviation = tuple(found["mean"]), tuple(found["deviation"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"'{path}' cannot be read ({error}): remove it, and the section is read again"
            ) from error
        return replace(self.normalization, mean=mean, deviation=deviation, per_image=False)
