"""The slices of an image file and its label file, in memory or on disk, and their names."""

from collections.abc import Sequence
from typing import Any

from cunet.data.coding import Colours
from cunet.data.dataset import Slice
from cunet.data.layouts import Files
from cunet.errors import DataError
from cunet.files.pixel_size import PixelSize


def slices_of(
    one: Files,
    images: Sequence[Any],
    labels: Sequence[Any],
    image_colours: Colours,
    label_colours: Colours,
    pixel_size: PixelSize | None = None,
) -> list[Slice]:
    """A slice of every page of images (H, W, C) and labels (H, W). DataError where there are not
    as many of both."""
    if len(images) != len(labels):
        raise DataError(
            f"'{one.labels}' and '{one.images[0]}' differ in pages, {len(labels)} against "
            f"{len(images)}; expected a page of labels for every page of the image."
        )
    many = len(images) > 1
    return [
        Slice(
            f"{one.name}[{i}]" if many else one.name,
            x,
            y,
            f"'{one.images[0]}'" + (f" page {i}" if many else ""),
            f"'{one.labels}'" + (f" page {i}" if many else ""),
            image_colours,
            label_colours,
            pixel_size,
        )
        for i, (x, y) in enumerate(zip(images, labels, strict=True))
    ]


def refuse_unlike_channels(one: Files, channels: Sequence[Sequence[Any]]) -> None:
    """DataError where the files of an image, each with the pages (H, W, C) of some channels,
    differ in pages, sizes or dtype."""
    first = channels[0]
    for path, pages in zip(one.images, channels, strict=True):
        alike = [
            (a.shape[:2], a.dtype) == (b.shape[:2], b.dtype)
            for a, b in zip(first, pages, strict=False)
        ]
        if len(pages) != len(first) or not all(alike):
            raise DataError(
                f"'{path}' and '{one.images[0]}' are channels of one image but differ in pages, "
                f"size or dtype: {len(pages)} of {pages[0].shape[:2]} {pages[0].dtype} against "
                f"{len(first)} of {first[0].shape[:2]} {first[0].dtype}."
            )
