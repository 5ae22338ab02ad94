"""Pixel values that are no intensities: NaN, infinity, and numbers that stand for "no data".

Programs that stitch or register images write a number where nothing was imaged, often the lowest
of float32, -3.4e38. One such pixel makes mean and deviation of an image meaningless.
"""

import numpy as np

from cunet.errors import DataError
from cunet.terminal import plural

NO_INTENSITY = 1e30  # from here on, in magnitude: nothing that is measured is so large
MEANT = (
    ": if that is a mark for 'no data', little contrast is left to the rest; crop these parts, or "
    "replace the value"
)
MARGIN = 0.5  # the range of all other values, over the deviation with the value that stands apart


def check_values(pixels: np.ndarray, name: str, first: int = 0) -> None:
    """DataError where pixels (H, W, C), rows `first` and on of an image, hold what no image can.

    name is what the error calls the image.
    """
    if pixels.dtype.kind != "f" or not pixels.size:
        return
    if -NO_INTENSITY < float(pixels.min()) and float(pixels.max()) < NO_INTENSITY:  # not for NaN
        return
    if not np.isfinite(pixels).all():
        bad = ~np.isfinite(pixels)
        raise DataError(
            f"{name} holds NaN or infinity in {where(bad, first)}; crop these parts, or replace "
            "them by the value of the background"
        )
    bad = np.abs(pixels).astype(np.float64) >= NO_INTENSITY
    values, counts = np.unique(pixels[bad], return_counts=True)
    value = float(values[counts.argmax()])
    what = "that is no intensity but a mark for 'no data'"
    if abs(value) > float(np.finfo(np.float32).max):
        what = "more than float32 can, in which networks compute (3.4e+38)"
    raise DataError(
        f"{name} holds {value:g} in {where(bad, first)}: {what}; crop these parts, or replace them "
        "by the value of the background"
    )


def where(bad: np.ndarray, first: int = 0) -> str:
    """Which pixels of (H, W, C) are marked: how many, and their rows counted from `first`."""
    return placed(np.any(bad, axis=2).sum(axis=1), first)


def placed(counts: np.ndarray, first: int = 0) -> str:
    """In words, how many pixels are marked and in which rows; counts (H,) of rows from `first`."""
    rows = np.flatnonzero(counts) + first
    place = f"row {rows[0]}" if rows[0] == rows[-1] else f"rows {rows[0]} to {rows[-1]}"
    return f"{plural(int(counts.sum()), 'pixel')} ({place})"


def standing_apart(image: np.ndarray, holders: str = "") -> str | None:
    """In words, the lowest or highest value of an image (H, W, C) that lies so far from all others
    that little contrast is left to these; None where there is none.

    holders: which pixels hold it, where the image is but a sample. 0 is what empty parts of an
    image hold by nature, and an image of two values is a drawing.
    """
    for plane in np.moveaxis(image, 2, 0):
        lowest, highest = plane.min(), plane.max()
        for value in (lowest, highest):
            others = plane != value
            if value == 0 or not others.any():
                continue
            low = plane.min(where=others, initial=highest)
            high = plane.max(where=others, initial=lowest)
            spread = float(high) - float(low)
            if 0 < spread < MARGIN * float(plane.std(dtype=np.float64)):
                place = holders or where(~others[..., None])
                return f"{value:g} in {place}, all others {low:g} to {high:g}{MEANT}"
    return None
