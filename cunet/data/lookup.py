"""Images looked up at points between their pixels: bilinear for grey values, nearest for labels.

H W C: height, width and channels of the image; n: side of the square of points. Points are counted
from a pixel (top, left) near them, so that float32 is exact enough in an image of any size; beyond
its border the image is mirrored. Of an image on disk only the part around the points is read.
"""

import math

import numpy as np

from cunet.data.mirror import reflect
from cunet.data.on_disk import OnDisk, Pixels


def bilinear(
    source: Pixels, rows: np.ndarray, columns: np.ndarray, top: int, left: int
) -> np.ndarray:
    """source (H, W, C) at the points (n, n) counted from pixel (top, left): (n, n, C) float32.
    (H, W) is one channel."""
    region, first_row, first_column = _region(source, rows, columns, top, left)
    height, width = region.shape[:2]
    pixels = region.reshape(height * width, -1).astype(np.float32, copy=False)
    found = np.empty((*rows.shape, pixels.shape[1]), np.float32)
    # In blocks of rows the temporaries stay in the cache: 2.5 times faster than all at once. Most
    # operations are in place, which halves the time again.
    for start in range(0, len(rows), 32):
        block = slice(start, start + 32)
        down = rows[block] - np.float32(first_row)
        right = columns[block] - np.float32(first_column)
        # Not negative, so the cut to an integer is the floor.
        row, column = down.astype(np.int32), right.astype(np.int32)
        down -= row.astype(np.float32)
        right -= column.astype(np.float32)
        row *= width
        row += column
        index = row.astype(np.intp)
        upper = _between(pixels, index, right[..., None])
        index += width
        lower = _between(pixels, index, right[..., None])
        lower -= upper
        lower *= down[..., None]
        np.add(upper, lower, out=found[block])
    return found


def _between(pixels: np.ndarray, index: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Values of pixels (count, C) at a share `right` of the way from pixel `index` to the next."""
    found = pixels.take(index, axis=0)
    part = pixels.take(index + 1, axis=0)
    part -= found
    part *= right
    found += part
    return found


def nearest(
    source: Pixels, rows: np.ndarray, columns: np.ndarray, top: int, left: int
) -> np.ndarray:
    """source (H, W) at the pixels nearest to the points (n, n) counted from pixel (top, left)."""
    rows, columns = np.rint(rows), np.rint(columns)
    region, first_row, first_column = _region(source, rows, columns, top, left)
    return region[rows.astype(np.int32) - first_row, columns.astype(np.int32) - first_column]


def _region(
    source: Pixels, rows: np.ndarray, columns: np.ndarray, top: int, left: int
) -> tuple[np.ndarray, int, int]:
    """The part of source around the points, mirrored beyond its border, and its first pixel.

    It ends two pixels after the last point: bilinear needs one, and the other because float32 may
    round a point just before a pixel to that pixel, once it is counted from the first one.
    """
    first_row, first_column = math.floor(rows.min()), math.floor(columns.min())
    height = math.floor(rows.max()) + 3 - first_row
    width = math.floor(columns.max()) + 3 - first_column
    down = reflect(top + first_row, height, source.shape[0])
    across = reflect(left + first_column, width, source.shape[1])
    if isinstance(source, OnDisk):
        r0, c0 = down.min(), across.min()
        source = source[r0 : down.max() + 1, c0 : across.max() + 1]
        down, across = down - r0, across - c0
    # rows, then columns: three times as fast as both at once
    return source.take(down, axis=0).take(across, axis=1), first_row, first_column
