"""Which of bright and dark is the thin one in an image: what tells an inverted one.

The skewness of an image's fine structure: of its grey values, smoothed a little, less their mean
around. Thin dark lines on a bright ground, as membranes in EM, make it negative, bright cells on a
dark ground positive, and inversion turns its sign and nothing else. Of the skewness of the grey
values themselves it differs by what varies slowly: illumination, large cells, empty corners.

H W C: height, width and channels; the mean of the channels counts.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy import ndimage

SIDE = 256  # pixels of the windows that are looked at
WINDOWS = 3  # along each axis, at most
SMOOTH = 1.0  # pixels: the deviation of the Gaussian that keeps noise away
AROUND = 17  # pixels of a side of the mean around
ROUNDING = 1e-12  # of the grey values: structure that is finer is none
MOST_IMAGES = 64  # of a training set, spread over it
SHARES = (5, 95)  # percentiles that are kept of a training set's images

Read = Callable[[int, int, int, int], np.ndarray]


def skewness(read: Read, height: int, width: int) -> float:
    """That of an image's fine structure, 0 of a flat one. read(r0, r1, c0, c1) returns the pixels
    (r1 - r0, c1 - c0, C); nine windows at most are looked at."""
    squares = cubes = largest = 0.0
    for r0, r1 in _spans(height):
        for c0, c1 in _spans(width):
            grey = read(r0, r1, c0, c1).mean(axis=2, dtype=np.float64)
            smooth = ndimage.gaussian_filter(grey, SMOOTH)
            largest = max(largest, float(np.abs(grey).max()))
            fine = smooth - ndimage.uniform_filter(smooth, AROUND)
            fine -= fine.mean()
            with np.errstate(over="ignore", invalid="ignore"):
                squares += float(np.square(fine).sum() / grey.size)
                cubes += float((fine**3).sum() / grey.size)
    count = len(_spans(height)) * len(_spans(width))
    if squares <= (ROUNDING * largest) ** 2:
        return 0.0
    return cubes / count / (squares / count) ** 1.5


def skewnesses(images: Sequence) -> tuple[float, float] | None:
    """The SHARES of training images (H, W, C), arrays or on disk; None where they have none."""
    numbers = np.unique(np.linspace(0, len(images) - 1, MOST_IMAGES).astype(int))
    chosen = [images[i] for i in numbers]
    found = [skewness(partial(_part, image), *image.shape[:2]) for image in chosen]
    if not np.isfinite(found).all():
        return None
    low, high = np.percentile(found, SHARES)
    return round(float(low), 4), round(float(high), 4)


def _part(image: Any, r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
    """A window of an image, an array or on disk."""
    return np.asarray(image[r0:r1, c0:c1])


def _spans(side: int) -> list[tuple[int, int]]:
    """The (first, last + 1) of the windows along an axis, spread over it."""
    if side <= WINDOWS * SIDE:
        return [(0, side)]
    firsts = np.linspace(0, side - SIDE, WINDOWS).astype(int)
    return [(int(first), int(first) + SIDE) for first in firsts]
