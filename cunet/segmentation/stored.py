"""A probability that was computed before, taken from its file in place of computing it again.

prob holds exactly the float32 numbers that the other products were made from, so they become the
same, byte for byte. It is taken where its description proves that it was made of the same content
of the image, by the same model, in the same way; it does not depend on the threshold.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from cunet.errors import CunetError, DataError
from cunet.files import open_image, read_description, stored_text
from cunet.files.image_file import ImageFile
from cunet.segmentation.made_by import difference, pages_in, without_pages, without_threshold
from cunet.segmentation.window import is_probability
from cunet.threads import strips

WRITER = "tifffile.py"  # what the tag Software of a file names that this program wrote


@dataclass(frozen=True)
class Stored:
    """A file of probabilities, and for each page asked for its page there."""

    path: Path
    pages: list[int]

    def bands(self, prob: ImageFile, number: int) -> Iterator[tuple[int, np.ndarray]]:
        """(first row, probabilities (rows, W, K) float32) of the `number`-th page asked for, as
        segment.bands yields them; prob is the open file.

        DataError where it holds anything else.
        """
        page = self.pages[number]
        for rows in strips(prob.height, 16 * prob.width * prob.channels):
            found = prob.read_rows(page, rows.start, rows.stop)
            if not is_probability(found):
                raise DataError(
                    f"'{self.path}' page {page} holds numbers outside 0 to 1: it was damaged after "
                    "it was made. Remove it, and it is computed again."
                )
            yield rows.start, both_classes(found)


def both_classes(probability: np.ndarray) -> np.ndarray:
    """Probabilities (rows, W, K) of all classes: of class 1 alone (rows, W, 1) those of 0 too."""
    if probability.shape[2] > 1:
        return probability
    return np.concatenate([1 - probability, probability], axis=2)


def stored_probability(
    path: Path, description: str, pages: list[int], shape: tuple[int, int, int, int]
) -> tuple[Stored | None, str]:
    """The probability in `path` where it is the one that would be computed, and what to say of it.

    description: that of the products wanted, of these pages; shape: of the image (pages, H, W) and
    the number of classes. Without such a file there is nothing to say.
    """
    if not path.exists():
        return None, ""
    found, wanted = (without_threshold(t) for t in (read_description(path), description))
    if without_pages(found) != without_pages(stored_text(wanted)):
        return None, f"{path} was {difference(found, wanted)}: it is not used"
    there = pages_in(found, shape[0])
    if not set(pages) <= set(there):
        return None, f"{path} holds other pages: it is not used"
    if not _as_written(path, (len(there), *shape[1:])):
        return None, f"{path} was changed after it was made, or is damaged: it is not used"
    return Stored(path, [there.index(page) for page in pages]), f"probability from {path}"


def _as_written(path: Path, shape: tuple[int, int, int, int]) -> bool:
    """Whether a file of probabilities is as this program writes it; others keep its description
    when they change pixels and save it."""
    pages, height, width, classes = shape
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            own = page.software == WRITER and page.dtype == np.float32
        with open_image(path) as image:
            size = image.pages, image.height, image.width, max(2, image.channels)
            return own and image.streamed and size == (pages, height, width, classes)
    except MemoryError:
        raise
    except (CunetError, tifffile.TiffFileError, OSError, ValueError):
        return False
