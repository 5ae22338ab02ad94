"""What must be known of slices on disk before a training, found in one pass over them.

The checks are those of slices in memory, see dataset.checked. H W C: height, width and channels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cunet.data.file_notes import begun
from cunet.data.on_disk import OnDisk
from cunet.data.sums import OrderedSum
from cunet.data.values import MARGIN, MEANT, check_values, placed


@dataclass(frozen=True)
class ImageFacts:
    """Of an image.

    total   (C,) the sum of its pixels, as NumPy adds them
    grey    whether its channels are equal
    flat    whether it has a single grey value
    apart   see values.standing_apart
    sha256  of its shape, dtype and pixels
    """

    total: np.ndarray
    grey: bool
    flat: bool
    apart: str | None
    sha256: str


def image_facts(image: OnDisk, name: str) -> ImageFacts:
    """Those of an image (H, W, C), called name in errors. Raises DataError as check_values."""
    height, width, channels = image.shape
    total = OrderedSum(height * width, channels, image.dtype)
    planes = [_Plane() for _ in range(channels)]
    digest, grey = begun(image.shape, image.dtype), True
    for first, block in image.blocks():
        check_values(block, name, first)
        total.add(block.reshape(-1, channels))
        grey = grey and bool((block == block[..., :1]).all())
        digest.update(np.ascontiguousarray(block).data)
        for c, plane in enumerate(planes):
            plane.add(block[..., c])
    apart = next(filter(None, (_apart(image, c, plane) for c, plane in enumerate(planes))), None)
    flat = len({(plane.low[0], plane.high[0]) for plane in planes}) == 1
    flat = flat and planes[0].low[0] == planes[0].high[0]
    return ImageFacts(total.total, grey, flat, apart, digest.hexdigest())


class _Plane:
    """The lowest two and the highest two values of a channel, and its deviation."""

    def __init__(self) -> None:
        self.low: list = []
        self.high: list = []
        self.count, self.sum, self.squares = 0, 0.0, 0.0

    def add(self, plane: np.ndarray) -> None:
        """Some rows of it."""
        self.low = _two(self.low, plane, np.min, np.greater)
        self.high = _two(self.high, plane, np.max, np.less)
        if not self.count:
            self.origin = float(plane.flat[0])
        apart = plane.astype(np.float64) - self.origin
        self.count += apart.size
        self.sum += float(apart.sum())
        self.squares += float(np.square(apart).sum())

    @property
    def deviation(self) -> float:
        """The standard deviation, about."""
        mean = self.sum / self.count
        return float(np.sqrt(max(0.0, self.squares / self.count - mean * mean)))


def _two(known: list, plane: np.ndarray, outermost: Callable, within: Callable) -> list:
    """The two outermost values of those known and of a plane."""
    value = outermost(plane)
    if len(known) == 2 and (value == known[1] or within(value, known[1])):
        return known
    found = {*known, value}
    beside = len(known) == 2 and value.dtype.kind in "ui" and abs(int(known[1]) - int(value)) == 1
    if not beside or value != known[0]:
        inner = plane[within(plane, value)]
        if inner.size:
            found.add(outermost(inner))
    return sorted(found, reverse=outermost is np.max)[:2]


def _apart(image: OnDisk, channel: int, plane: _Plane) -> str | None:
    """As values.standing_apart says it of one channel."""
    if len(plane.low) < 2:
        return None
    for value, ends in (
        (plane.low[0], (plane.low[1], plane.high[0])),
        (plane.high[0], (plane.low[0], plane.high[1])),
    ):
        spread = float(ends[1]) - float(ends[0])
        if value != 0 and 0 < spread < MARGIN * plane.deviation:
            rows = np.concatenate(
                [(block[..., channel] == value).sum(axis=1) for _, block in image.blocks()]
            )
            place = placed(rows)
            return f"{value:g} in {place}, all others {ends[0]:g} to {ends[1]:g}{MEANT}"
    return None


@dataclass(frozen=True)
class LabelFacts:
    """Of a page of labels: the numbers in it, rising, how many pixels hold each, and the SHA-256
    of the page (H, W, 1)."""

    numbers: np.ndarray
    counts: np.ndarray
    sha256: str


def label_facts(labels: OnDisk) -> LabelFacts:
    """Those of labels (H, W) of whole numbers."""
    digest, small = (
        begun((*labels.shape, 1), labels.dtype),
        labels.dtype.kind == "u" and labels.dtype.itemsize <= 2,
    )
    seen = np.zeros(1 << 16, np.int64)
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    for _, block in labels.blocks():
        digest.update(np.ascontiguousarray(block).data)
        if small:
            seen += np.bincount(block.ravel(), minlength=len(seen))
            continue
        parts.append(np.unique(block, return_counts=True))
        if len(parts) > 64:
            parts = [_together(parts)]
    if small:
        parts = [(np.flatnonzero(seen), seen[seen > 0])]
    return LabelFacts(*_together(parts), digest.hexdigest())


def _together(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    numbers, place = np.unique(np.concatenate([n for n, _ in parts]), return_inverse=True)
    counts = np.zeros(len(numbers), np.int64)
    np.add.at(counts, place, np.concatenate([c for _, c in parts]))
    return numbers, counts
