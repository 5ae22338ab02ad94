"""One window of an image: the probabilities of any rectangle of it, from the pixels it needs alone.

The tiles are those of the whole image (tiling.py), of which a window takes the ones it meets. So
windows of any sizes, computed in any order and on any machine, are the same bits as the whole.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from cunet.data.mirror import reflect
from cunet.data.values import check_values
from cunet.errors import CunetError, DataError, NumericError
from cunet.net.normalization import Normalization
from cunet.net.unet import UNet
from cunet.segmentation.several import Several
from cunet.segmentation.tiling import Cover, Piece, Plan
from cunet.segmentation.views import AVERAGES, average_views
from cunet.threads import one_ahead

ROUNDING = 1e-3  # that a probability may lie outside 0 to 1
FAR_OUT = 1e6  # deviations from the mean: no image is there
Span = tuple[int, int]  # the first row or column, and the last + 1


@dataclass(frozen=True)
class Applied:
    """A network, and how it is applied.

    normalization  what makes pixels its numbers (of a per_image network: fitted to the image)
    average        "none", "flips" or "rotations": see views.py
    skip_empty     whether a tile of which the image holds nothing but 0 is not computed: class 0
                   is then certain there
    name           what errors call the image
    several        the same network on several devices, which share the tiles
    """

    net: UNet
    normalization: Normalization
    average: str = "none"
    skip_empty: bool = False
    name: str = "image"
    several: Several | None = None

    def predict(self, cuts: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The probabilities (P, Q, K) of each tile (H, W, C) of raw pixels, in order."""

        def normalised(cut: np.ndarray) -> np.ndarray:
            return self.normalization.apply(cut, self.net.dtype)

        def views(net: UNet, pixels: np.ndarray) -> np.ndarray:
            return average_views(net, pixels, AVERAGES[self.average])

        if self.several is not None:
            yield from self.several.predict_tiles(
                cuts, lambda net, cut: views(net, normalised(cut))
            )
            return
        prepared = map if self.net.device == "cpu" else one_ahead  # a GPU is not kept waiting
        for pixels in prepared(normalised, cuts):
            yield views(self.net, pixels)

    def failure(self, cut: np.ndarray, down: Piece) -> CunetError:
        """The error where the network makes of a tile what is no probability: DataError where its
        pixels lie too far out, else NumericError."""
        where = f"{self.name}, rows {down.first} to {down.last - 1}"
        far = float(np.abs(self.normalization.apply(cut, self.net.dtype)).max())
        if not far < FAR_OUT:
            return DataError(
                f"{where}: pixels lie {far:.2g} deviations from the mean of the training images, "
                "and the network returns NaN; look for single wrong pixels or another unit of "
                "intensity"
            )
        low = self.net.precision in ("float16", "bfloat16")
        more = ", or give --precision float32" if low else ""
        return NumericError(
            f"{where}: the network returns NaN or numbers outside 0 to 1, its weights are too "
            f"large; use another model, or train again with a smaller --lr{more}"
        )


class Window:
    """Rows and columns of an image, and the tiles that they need.

    needs  (first row, last row + 1, first column, last column + 1) of the pixels that the tiles see
    tiles  how many tiles meet the window
    """

    def __init__(self, cover: Cover, rows: Span, columns: Span):
        self.rows, self.columns, self._lost = rows, columns, cover.lost
        self._down = _Side(cover.down, cover.height, rows)
        self._across = _Side(cover.across, cover.width, columns)
        self.shape = rows[1] - rows[0], columns[1] - columns[0]
        self.needs = (*self._down.needs, *self._across.needs)
        self.tiles = len(self._down.pieces) * len(self._across.pieces)

    def probabilities(self, pixels: np.ndarray, applied: Applied) -> tuple[np.ndarray, int]:
        """The probabilities (rows, columns, K) of the window, and how many tiles were computed.

        pixels: those that the window needs, (H, W, C) as stored. DataError where they hold no image
        or lie so far out that the network returns NaN, NumericError where that is its own fault.
        """
        net, (top, end), (left, right) = applied.net, self.rows, self.columns
        check_values(pixels, applied.name, self.needs[0])
        found = np.empty((end - top, right - left, net.shape.classes), net.dtype)
        places: list[tuple[Piece, Piece]] = []

        def cuts() -> Iterator[np.ndarray]:
            for down, across in self._places():
                if applied.skip_empty and not self._own(pixels, down, across).any():
                    there = self._there(found, down, across)
                    there[...] = 0
                    there[..., 0] = 1
                else:
                    places.append((down, across))
                    yield self._cut(pixels, down, across)

        for number, output in enumerate(applied.predict(cuts())):
            down, across = places[number]
            if not is_probability(output):
                raise applied.failure(self._cut(pixels, down, across), down)
            y, x = _taken(down, self.rows), _taken(across, self.columns)
            skip, aside = (piece.source + self._lost for piece in (down, across))
            self._there(found, down, across)[...] = output[
                y.start - skip : y.stop - skip, x.start - aside : x.stop - aside
            ]
        return found, len(places)

    def _places(self) -> Iterator[tuple[Piece, Piece]]:
        for down in self._down.pieces:
            for across in self._across.pieces:
                yield down, across

    def _there(self, found: np.ndarray, down: Piece, across: Piece) -> np.ndarray:
        """The pixels of the window that a tile gives."""
        y, x = _taken(down, self.rows), _taken(across, self.columns)
        top, left = self.rows[0], self.columns[0]
        return found[y.start - top : y.stop - top, x.start - left : x.stop - left]

    def _own(self, pixels: np.ndarray, down: Piece, across: Piece) -> np.ndarray:
        """The pixels of the image that a tile gives, whether the window has all of them or not:
        what is skipped must not depend on the window."""
        low, _, lowest, _ = self.needs
        return pixels[
            down.first - low : down.last - low, across.first - lowest : across.last - lowest
        ]

    def _cut(self, pixels: np.ndarray, down: Piece, across: Piece) -> np.ndarray:
        """The input of a tile, mirrored beyond the image's border."""
        y, x = self._down.picked(down), self._across.picked(across)
        if isinstance(y, slice) and isinstance(x, slice):
            return pixels[y, x]
        return pixels[y][:, x]


class _Side:
    """The tiles that a window meets along one axis, and the pixels that they see."""

    def __init__(self, plan: Plan, pixels: int, span: Span):
        first, last = span
        if not 0 <= first < last <= pixels:
            raise ValueError(f"a window from {first} to {last} of an image of {pixels} pixels")
        self._tile, self._pixels = plan.tile, pixels
        self.pieces = [
            piece for piece in plan.pieces(pixels) if piece.first < last and piece.last > first
        ]
        seen = [reflect(piece.source, plan.tile, pixels) for piece in self.pieces]
        self.needs = min(int(s.min()) for s in seen), max(int(s.max()) for s in seen) + 1

    def picked(self, piece: Piece) -> slice | np.ndarray:
        """Which of the needed pixels a tile sees; a slice, which costs nothing, within the image"""
        low = self.needs[0]
        if piece.source >= 0 and piece.source + self._tile <= self._pixels:
            return slice(piece.source - low, piece.source - low + self._tile)
        return reflect(piece.source, self._tile, self._pixels) - low


def is_probability(found: np.ndarray) -> bool:
    """Whether all numbers lie between 0 and 1, but for rounding; NaN does not."""
    return bool(found.min() >= -ROUNDING and found.max() <= 1 + ROUNDING)


def _taken(piece: Piece, span: Span) -> slice:
    """The pixels that a tile gives to a window, counted in the image."""
    return slice(max(piece.first, span[0]), min(piece.last, span[1]))
