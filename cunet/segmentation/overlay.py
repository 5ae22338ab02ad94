"""The product overlay: outlines of what was found, drawn on the image."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from cunet.files import write_png
from cunet.files.image_file import ImageFile
from cunet.pictures.colours import GOLD, class_colours, object_colours
from cunet.pictures.outlines import outline
from cunet.segmentation.how import Found, How, Sink
from cunet.threads import strips


class Overlay(Sink):
    """Outlines of the mask, or of every object (how.distinct), on the image; a PNG for each page.

    With two classes the mask's outline is orange, and every object has a colour of its own. With
    more, mask and objects have the colours of their classes.
    """

    def __init__(
        self, path: Path, image: ImageFile, found: Found, classes: int, pages: int, how: How
    ):
        super().__init__(path, image, found)
        self.several, self.how, self.classes = pages > 1, how, classes
        self.new: list[Path] = []  # where no file was before

    def page_done(self, number: int, page: int) -> None:
        image = self.image
        sample = image.sample(page).astype(np.float64)
        low, high = np.percentile(sample[..., :3].mean(axis=2), (0.5, 99.5))
        picture = np.empty((image.height, image.width, 3), np.uint8)
        for rows in strips(image.height, 12 * image.width):
            grey = image.read_rows(page, rows.start, rows.stop)[..., :3].mean(axis=2)
            scaled = np.clip((grey - low) / max(high - low, 1e-9), 0, 1) * 255
            picture[rows] = scaled.astype(np.uint8)[..., None]
        edge, colours = self._outline()
        picture[edge] = colours
        path = overlay_path(self.path, page, self.several)
        if not path.exists():
            self.new.append(path)
        write_png(path, picture, self.how.text("overlay"))

    def __exit__(self, *error: Any) -> None:
        for path in self.new if error[0] else []:  # those of earlier pages are not left behind
            with suppress(OSError):  # the first error is told
                path.unlink(missing_ok=True)

    def _outline(self) -> tuple[np.ndarray, np.ndarray | tuple[int, int, int]]:
        """Where the outline is, (H, W) bool, and its colour or the colours of its pixels."""
        page = self.found.page
        shown = self.found.numbers if self.how.distinct else page
        edge = outline(shown)
        if self.classes > 2:
            edge &= page > 0  # a filled hole is of no class
            return edge, class_colours(self.classes)[page[edge]]
        if self.how.distinct:
            return edge, object_colours(int(shown.max(initial=0)))[shown[edge]]
        return edge, GOLD


def overlay_path(path: Path, page: int, several: bool) -> Path:
    """The file of a page's overlay; with several pages the page number is part of its name."""
    return path.with_name(f"{path.stem}_{page:04}{path.suffix}") if several else path
