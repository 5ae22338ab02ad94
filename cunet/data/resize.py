"""Images, labels and probabilities brought to another size.

H W are the height and width before, `side` the side of the square after. A pixel is a small square
and the image's edges stay where they are: pixel i of n lies at (i + 1/2) / n in all three, so that
image, labels and probabilities stay on top of each other.
"""

from dataclasses import replace

import numpy as np
from PIL import Image

from cunet.data.dataset import Dataset
from cunet.terminal import plural


def resize_image(image: np.ndarray, side: int) -> np.ndarray:
    """image (H, W, C) scaled to (side, side, C): see scale_image."""
    return scale_image(image, side, side)


def scale_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """image (H, W, C) of any real dtype scaled to (height, width, C) float32, grey values kept;
    where float32 has too few digits (whole numbers of 32 bits, float64) to float64.

    Larger: bilinear. Smaller: a mean whose weights fall linearly to 0 at the centre of the next new
    pixel, so that details finer than the new pixels do not alias. Neither leaves the range of the
    grey values, as cubic scaling does beside edges.
    """
    if image.dtype.itemsize <= (2 if image.dtype.kind in "iu" else 4):
        return _scaled(image, height, width)
    centre = image.mean(axis=(0, 1), dtype=np.float64)  # Pillow scales the small differences
    return centre + _scaled(image.astype(np.float64) - centre, height, width)


def resize_labels(labels: np.ndarray, side: int) -> np.ndarray:
    """labels (H, W) scaled to (side, side), dtype kept: each pixel takes the nearest one's value.

    Of two pixels equally near, the one nearer the middle of the image counts. So labels shrunk by
    an even factor are not shifted as a whole, and mirrored labels give the mirrored result.
    """
    down, across = (_nearest(size, side) for size in labels.shape)
    return labels[down[:, None], across]


def resize_probability(probability: np.ndarray, height: int, width: int) -> np.ndarray:
    """probability (h, w, K) scaled back to (height, width, K) float32, bilinear.

    The weights of the mean are not negative and sum to 1, so the K values of a pixel still sum to
    1, up to rounding.
    """
    return _scaled(probability, height, width)


def resized(dataset: Dataset, side: int) -> Dataset:
    """The data set with images (see resize_image), labels and cell numbers of side x side pixels.

    Slices on disk are read one by one, and held small. A note says so, and how many cells of which
    slices were too small to keep a pixel.
    """
    notes = [
        f"scaled to {side} x {side} pixels: grey values averaged or interpolated, labels "
        "taken from nearest pixels"
    ]
    instances = None
    if dataset.instances is not None:
        instances, lost = [], []
        for cells in map(np.asarray, dataset.instances):
            instances.append(resize_labels(cells, side))
            lost.append(np.setdiff1d(cells[cells > 0], instances[-1]).size)
        where = [f"{n} in {name}" for n, name in zip(lost, dataset.slice_names, strict=True) if n]
        if where:
            rest = f" and {plural(len(where) - 3, 'more image')}" if len(where) > 3 else ""
            notes.append(
                f"{plural(sum(lost), 'cell is', 'cells are')} too small for {side} x {side} "
                "pixels, lost: "
                f"{', '.join(where[:3])}{rest}"
            )
    return replace(
        dataset,
        images=[resize_image(np.asarray(image), side) for image in dataset.images],
        labels=[resize_labels(np.asarray(labels), side) for labels in dataset.labels],
        instances=instances,
        notes=(*dataset.notes, *notes),
    )


def _scaled(source: np.ndarray, height: int, width: int) -> np.ndarray:
    """source (H, W, C) by Pillow's triangle filter, as float32; (height, width, C)."""
    found = np.empty((height, width, source.shape[2]), np.float32)
    for channel in range(source.shape[2]):
        plane = Image.fromarray(np.ascontiguousarray(source[..., channel], np.float32))
        # In mode "F" Pillow widens the filter by the factor of reduction and rounds nothing.
        scaled = plane.resize((width, height), Image.Resampling.BILINEAR)
        found[..., channel] = np.asarray(scaled)
    return found


def _nearest(size: int, side: int) -> np.ndarray:
    """The index of the nearest of `size` pixels for each of `side` new ones, by whole numbers."""
    twice = 2 * np.arange(side) + 1
    index, rest = np.divmod(twice * size, 2 * side)
    return index - ((rest == 0) & (twice > side))
