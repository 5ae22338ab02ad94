"""Pages of an image file: which ones a user names, and these as one array."""

from collections.abc import Iterable
from numbers import Integral
from pathlib import Path

import numpy as np

from cunet.checks import arguments, path, refused, whole
from cunet.errors import CunetError
from cunet.files import open_image
from cunet.files.image_file import ImageFile


@arguments(path=path)
def read_image(
    path: str | Path, pages: str | int | Iterable[int] | None = None, indices: bool = False
) -> np.ndarray:
    """Read a TIFF, PNG, JPEG or BMP file: its pages as one array (pages, H, W, C), in its dtype.

    `pages` are counted from 0: a number, several, or text such as "0,5,10-12"; all by default.
    With `indices` the values of a PNG or BMP with a colour table are its indices, as label files
    need. Everything is held in memory.

    Raises CunetError for a missing file or page, DataError for a file that is not a valid image.

        image = cunet.read_image("stack.tif", pages=0)[0]  # (H, W, C)
    """
    with open_image(path, indices) as image:
        return np.stack([image.read(page) for page in chosen_pages(pages, image)])


def chosen_pages(pages: str | int | Iterable[int] | None, image: ImageFile) -> list[int]:
    """The page numbers in "0,5,10-12", a number or several; None means all.

    They keep their order. Raises CunetError for pages that the image does not have.
    """
    text = page_text(pages)
    if text is None:
        return list(range(image.pages))
    numbers: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            start, end = int(first), int(last or first)
            if end >= image.pages:  # asked first: a range of any length costs nothing
                raise CunetError(
                    f"--pages {text}: '{image.path}' has pages 0 to {image.pages - 1}; give some "
                    "of them, as in 0,5,10-12"
                )
            if start > end:
                raise CunetError(
                    f"--pages {text}: {part.strip()} counts down; give the smaller page first, as "
                    "in 0,5,10-12"
                )
            numbers += range(start, end + 1)
    except CunetError:
        raise
    except ValueError:
        raise CunetError(f"--pages: expected 0,5,10-12, found '{text}'") from None
    return numbers


def page_text(pages: str | int | Iterable[int] | None, name: str = "pages") -> str | None:
    """Page numbers as the option --pages takes them: [0, 5] -> "0,5". CunetError where what is
    called `name` holds no whole numbers."""
    if pages is None or isinstance(pages, str):
        return pages
    numbers = [pages] if isinstance(pages, Integral) else pages
    if not isinstance(numbers, Iterable):
        raise refused(name, "whole numbers, such as [0, 5], or text such as '0,5,10-12'", pages)
    return ",".join(str(whole(name, number)) for number in numbers)
