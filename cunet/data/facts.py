"""What must be known of slices on disk before a training, found in one pass over them.

The checks are those of slices in memory, see dataset.checked. H W C: height, width and channels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cunet.data.file_notes import begun
from cunet.data.on_disk import OnDisk, together
from cunet.data.sums import OrderedSum
from cunet.data.values import MARGIN, MEANT, check_values, placed

PARTS = 64  # blocks of which the numbers are kept apart


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


def image_facts(images: Sequence[tuple[OnDisk, str]]) -> list[ImageFacts]:
    """Those of images (H, W, C), each with its name in errors. Raises DataError as check_values."""
    looks = [_Look(image, name) for image, name in images]
    for i, first, block in together([image for image, _ in images]):
        looks[i].add(first, block)
    return [look.facts() for look in looks]


class _Look:
    """A look at an image, block by block."""

    def __init__(self, image: OnDisk, name: str) -> None:
        height, width, channels = image.shape
        self.image, self.name, self.grey = image, name, True
        self.total = OrderedSum(height * width, channels, image.dtype)
        self.planes = [_Plane() for _ in range(channels)]
        self.digest = begun(image.shape, image.dtype)

    def add(self, first: int, block: np.ndarray) -> None:
        """The next rows (rows, W, C)."""
        check_values(block, self.name, first)
        self.total.add(block.reshape(-1, block.shape[2]))
        self.grey = self.grey and bool((block == block[..., :1]).all())
        self.digest.update(np.ascontiguousarray(block).data)
        for c, plane in enumerate(self.planes):
            plane.add(block[..., c])

    def facts(self) -> ImageFacts:
        """What was found, after the last block."""
        found = (_apart(self.image, c, plane) for c, plane in enumerate(self.planes))
        ends = {value for plane in self.planes for value in (plane.low[0], plane.high[0])}
        return ImageFacts(
            self.total.total,
            self.grey,
            len(ends) == 1,
            next(filter(None, found), None),
            self.digest.hexdigest(),
        )


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


def label_facts(pages: Sequence[OnDisk]) -> list[LabelFacts]:
    """Those of labels (H, W) of whole numbers."""
    counts = [_Counts(page) for page in pages]
    for i, _, block in together(pages):
        counts[i].add(block)
    return [one.facts() for one in counts]


class _Counts:
    """The numbers in a page of labels and how many pixels hold each, block by block."""

    def __init__(self, page: OnDisk) -> None:
        self.digest = begun((*page.shape, 1), page.dtype)
        self.parts: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, block: np.ndarray) -> None:
        """The next rows."""
        self.digest.update(np.ascontiguousarray(block).data)
        if block.dtype.kind == "u" and block.dtype.itemsize <= 2:
            counts = np.bincount(block.ravel())
            numbers = np.flatnonzero(counts)
            self.parts.append((numbers, counts[numbers]))
        else:
            self.parts.append(np.unique(block, return_counts=True))
        if len(self.parts) > PARTS:
            self.parts = [_together(self.parts)]

    def facts(self) -> LabelFacts:
        """What was found, after the last block."""
        return LabelFacts(*_together(self.parts), self.digest.hexdigest())


def _together(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    numbers, place = np.unique(np.concatenate([n for n, _ in parts]), return_inverse=True)
    counts = np.zeros(len(numbers), np.int64)
    np.add.at(counts, place, np.concatenate([c for _, c in parts]))
    return numbers, counts
