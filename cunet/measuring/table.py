"""The table of a page's objects: one row each, with their size, place, shape and intensity.

Lengths are in pixels, and beside them in the unit of the image's pixel size where it has one.
Places are measured as in ImageJ, from the upper left corner of the image: the middle of its first
pixel is at x = 0.5, y = 0.5, so that the pixel at (x, y) is labels[int(y), int(x)].

    area                 pixels (area_um2: in the unit, squared)
    x, y                 the centroid
    box_x, box_y, box_width, box_height   the smallest box of whole pixels around the object
    equivalent_diameter  of the circle of the same area: sqrt(4 area / pi)
    perimeter            the length of a line through the middles of the object's border pixels,
                         those that touch the outside by a side: each counts 1, sqrt(2) or
                         (1 + sqrt(2)) / 2 by which of its eight neighbours are border pixels too
                         (Benkrid, Crookes and Benkrid 2000). The borders of holes count. It is what
                         skimage.measure.perimeter(neighborhood=4) gives. Where pixels are not
                         square it cannot be converted
    eccentricity         of the ellipse with the same second moments, 0 (circle) to 1 (line): the
                         distance of its foci over its major axis; with the pixels' true shape
    touches_border       whether a pixel lies in the first or last row or column
    mean_intensity, min_intensity, max_intensity   of the image; _c0, _c1 ... where it has channels

All sums of whole numbers are exact, so that no result depends on how the page is cut into strips.
"""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from cunet.measuring.scale import Scale
from cunet.threads import strips

STRIP = 1 << 24  # bytes of temporary arrays
BYTES = 64  # of them for each pixel

# By 1 + 2 * (border pixels at its sides) + 10 * (border pixels at its corners): what a border pixel
# counts, as the place in LENGTHS.
LENGTHS = np.array([0, 1, np.sqrt(2), (1 + np.sqrt(2)) / 2])
_COUNTS = np.zeros(50, np.uint8)
_COUNTS[[5, 7, 15, 17, 25, 27]] = 1
_COUNTS[[21, 33]] = 2
_COUNTS[[13, 23]] = 3

Table = dict[str, np.ndarray]


def measure(
    labels: np.ndarray,
    scale: Scale = Scale(),
    intensities: Callable[[int, int], np.ndarray] | None = None,
) -> Table:
    """The columns of the table of labels (H, W) int32, a row for each number above 0 that occurs.

    intensities(r0, r1): rows r0 ... r1-1 of the image (r1 - r0, W, C). Columns are arrays (n,).
    """
    height, width = labels.shape
    boxes = ndimage.find_objects(labels)
    sums = _Sums(len(boxes))
    bright: list[_Intensity] = []
    for rows in strips(height, BYTES * width, STRIP):
        y, x = np.nonzero(labels[rows])
        numbers = labels[rows][y, x]
        sums.add(numbers, x, y + rows.start, _border_codes(labels, rows)[y, x])
        if intensities is not None:
            values = intensities(rows.start, rows.stop)
            bright = bright or [
                _Intensity(len(boxes), values.dtype) for _ in range(values.shape[2])
            ]
            for channel, column in enumerate(bright):
                column.add(numbers, values[y, x, channel])
    there = np.array([k for k, box in enumerate(boxes) if box is not None], np.int64)
    box = np.array([_ends(boxes[k]) for k in there], np.int64).reshape(-1, 4)
    table = {"label": there + 1} | sums.columns(there, box, scale)
    top, left, bottom, right = box.T
    table["touches_border"] = (top == 0) | (left == 0) | (bottom == height) | (right == width)
    for channel, column in enumerate(bright):
        ending = f"_c{channel}" if len(bright) > 1 else ""
        for name, values in column.columns(there, table["area"]).items():
            table[name + ending] = values
    return table


class _Sums:
    """Sums over the pixels of every object, gathered strip by strip."""

    def __init__(self, count: int):
        names = ("area", "x", "y", "xx", "yy", "xy")
        self.of = {name: np.zeros(count, np.int64) for name in names}
        self.border = np.zeros((count, len(LENGTHS)), np.int64)

    def add(self, numbers: np.ndarray, x: np.ndarray, y: np.ndarray, codes: np.ndarray) -> None:
        """The pixels at x, y, which belong to the objects `numbers`; codes: see LENGTHS."""
        if not len(numbers):
            return
        low, high = int(numbers.min()), int(numbers.max())
        here, place = slice(low - 1, high), numbers - low
        products = {"area": None, "x": x, "y": y, "xx": x * x, "yy": y * y, "xy": x * y}
        for name, weights in products.items():  # exact: float64 holds whole numbers up to 2^53
            self.of[name][here] += np.bincount(place, weights).astype(np.int64)
        kinds = len(LENGTHS)
        counts = np.bincount(kinds * place + codes, minlength=kinds * (high - low + 1))
        self.border[here] += counts.reshape(-1, kinds)

    def columns(self, there: np.ndarray, box: np.ndarray, scale: Scale) -> Table:
        """The sizes, places and shapes of these objects, whose boxes are (n, 4)."""
        sums = {name: values[there] for name, values in self.of.items()}
        area, unit = sums["area"], scale.unit
        table = {"area": area}
        if unit:
            table[f"area_{unit}2"] = area * (scale.width * scale.height)
        for name in "xy":
            table[name] = sums[name] / area + 0.5
        if unit:
            table[f"x_{unit}"] = table["x"] * scale.width
            table[f"y_{unit}"] = table["y"] * scale.height
        table |= _box_columns(box, scale)
        table["equivalent_diameter"] = np.sqrt(4 * area / np.pi)
        if unit:
            table[f"equivalent_diameter_{unit}"] = np.sqrt(4 * table[f"area_{unit}2"] / np.pi)
        table["perimeter"] = self.border[there] @ LENGTHS
        if unit and scale.square:
            table[f"perimeter_{unit}"] = table["perimeter"] * scale.width
        table["eccentricity"] = _eccentricity(sums, scale)
        return table


def _eccentricity(sums: Table, scale: Scale) -> np.ndarray:
    """sqrt(1 - l2 / l1) of the eigenvalues l1 >= l2 of the second moments; 0 for one pixel.

    n^2 times the central moments are whole numbers, beyond int64 in large objects.
    """
    n, x, y, xx, yy, xy = (sums[k].astype(object) for k in ("area", "x", "y", "xx", "yy", "xy"))
    across = (n * xx - x * x).astype(np.float64) * scale.width**2
    down = (n * yy - y * y).astype(np.float64) * scale.height**2
    mixed = (n * xy - x * y).astype(np.float64) * (scale.width * scale.height)
    difference = np.hypot(across - down, 2 * mixed)  # l1 - l2
    total = across + down + difference  # 2 l1
    return np.sqrt(np.divide(2 * difference, total, out=np.zeros(len(n)), where=total > 0))


class _Intensity:
    """Sum, least and greatest value of one channel over the pixels of every object."""

    def __init__(self, count: int, dtype: np.dtype):
        whole = dtype.kind in "bui"
        dtype = np.dtype(np.uint8) if dtype.kind == "b" else dtype
        limits = np.iinfo(dtype) if whole else np.finfo(dtype)
        self.sum = np.zeros(count)
        self.low = np.full(count, limits.max, dtype)
        self.high = np.full(count, limits.min, dtype)

    def add(self, numbers: np.ndarray, values: np.ndarray) -> None:
        """The values of pixels that belong to the objects `numbers`."""
        if len(numbers):
            low, high = int(numbers.min()), int(numbers.max())
            here, values = slice(low - 1, high), values.astype(self.low.dtype)
            self.sum[here] += np.bincount(numbers - low, values)
            np.minimum.at(self.low, numbers - 1, values)
            np.maximum.at(self.high, numbers - 1, values)

    def columns(self, there: np.ndarray, area: np.ndarray) -> Table:
        """The columns of these objects."""
        return {
            "mean_intensity": self.sum[there] / area,
            "min_intensity": self.low[there],
            "max_intensity": self.high[there],
        }


def _border_codes(labels: np.ndarray, rows: slice) -> np.ndarray:
    """Of each pixel in these rows what it adds to its object's perimeter: its place in LENGTHS."""
    height, width = labels.shape
    first, last = max(0, rows.start - 2), min(height, rows.stop + 2)
    near = np.zeros((rows.stop - rows.start + 4, width + 4), labels.dtype)
    near[first - rows.start + 2 : last - rows.start + 2, 2:-2] = labels[first:last]
    own = near[1:-1, 1:-1]
    sides = near[:-2, 1:-1], near[2:, 1:-1], near[1:-1, :-2], near[1:-1, 2:]
    outer = np.zeros(own.shape, bool)
    for side in sides:
        outer |= side != own
    border = np.where(outer, own, 0)
    own = border[1:-1, 1:-1]
    code = np.ones(own.shape, np.uint8)
    for dy in (0, 1, 2):
        for dx in (0, 1, 2):
            if (dy, dx) != (1, 1):
                same = border[dy : dy + own.shape[0], dx : dx + own.shape[1]] == own
                code += same * np.uint8(10 if dy != 1 and dx != 1 else 2)
    return np.where(own > 0, _COUNTS[code], 0)


def _ends(box: tuple[slice, slice]) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of an object; the last two lie behind it."""
    return box[0].start, box[1].start, box[0].stop, box[1].stop


def _box_columns(box: np.ndarray, scale: Scale) -> Table:
    """The columns of the boxes (n, 4)."""
    top, left, bottom, right = box.T
    table = {"box_x": left, "box_y": top, "box_width": right - left, "box_height": bottom - top}
    if scale.unit:
        for name, values in [*table.items()]:
            side = scale.width if name in ("box_x", "box_width") else scale.height
            table[f"{name}_{scale.unit}"] = values * side
    return table
