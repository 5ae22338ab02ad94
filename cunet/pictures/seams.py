"""The differences that tiles make, as one picture. H W: height and width of an image."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cunet.pictures.figures import save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BELOW = 0.995  # of the pixels are shown as they are


class Line(Protocol):
    """An edge between tiles before row or column `at`."""

    @property
    def axis(self) -> str: ...  # noqa: D102
    @property
    def at(self) -> int: ...  # noqa: D102


class Way(Protocol):
    """How an image was tiled, and how far the result is from that of the whole, see seams.py."""

    @property
    def stride(self) -> int: ...  # noqa: D102
    @property
    def difference(self) -> np.ndarray: ...  # noqa: D102
    @property
    def largest(self) -> float: ...  # noqa: D102
    @property
    def edges(self) -> Sequence[Line]: ...  # noqa: D102


def seams_picture(
    image: np.ndarray, origin: tuple[int, int], ways: Sequence[Way], tile: int, path: str | Path
) -> None:
    """Draws the image (H, W, C), and beside it the difference of every way to tile it, on one PNG.

    The first way is the exact one, the second the paper's. origin: row and column of the image's
    first pixel. The differences of a way are multiplied by a factor of their own, which its title
    names; the largest few are then cut at 1. Dashed lines are edges between tiles. Raises
    DeviceError or CunetError if the file cannot be written.
    """
    from matplotlib.figure import Figure

    rows, columns = image.shape[:2]
    width = 4.6
    high = min(max(width * rows / columns, 1.2), 12.0)
    figure = Figure(figsize=(width * (1 + len(ways)) + 1, high + 0.8), layout="compressed")
    axes = figure.subplots(1, 1 + len(ways))
    top, left = origin[0] - 0.5, origin[1] - 0.5
    box = (left, left + columns, top + rows, top)
    shown = image if image.shape[2] == 3 else image.mean(axis=2)
    low, highest = np.percentile(shown, (0.5, 99.5))
    shown = np.clip((shown - low) / max(highest - low, 1e-30), 0, 1)
    axes[0].imshow(shown, cmap="gray", vmin=0, vmax=1, extent=box)
    axes[0].set_title(f"image: {rows} x {columns} pixels, tile {tile}", loc="left", fontsize=10)
    drawn = axes[0]
    for axis, way, name in zip(axes[1:], ways, ("exact", "the paper's"), strict=False):
        factor = amplified(way.difference)
        shown = way.difference * factor
        drawn = axis.imshow(shown, "inferno", vmin=0, vmax=1, extent=box, interpolation="nearest")
        _edges(axis, way.edges)
        said = f"up to {way.largest:.1e}, shown times {factor:,.0f}" if way.largest else "none"
        title = f"{name} stride, {way.stride}: difference from\none tile around all: {said}"
        axis.set_title(title, loc="left", fontsize=10)
    figure.colorbar(
        drawn, ax=axes, shrink=0.7, label="difference of a probability, times the factor", pad=0.01
    )
    save(figure, path)


def amplified(difference: np.ndarray) -> float:
    """The factor, 1, 2 or 5 times a power of ten, that brings all but the largest differences below
    1; 1 where they are larger, or all are 0."""
    bright = float(np.quantile(difference, BELOW)) or float(difference.max())
    if not 0 < bright < 1:
        return 1.0
    tens = 10.0 ** math.floor(-math.log10(bright))
    return max(step * tens for step in (1, 2, 5) if step == 1 or step * tens * bright <= 1)


def _edges(axis: "Axes", edges: Sequence[Line]) -> None:
    """Dashed lines between the tiles: they hide few pixels."""
    for edge in edges:
        draw = axis.axhline if edge.axis == "row" else axis.axvline
        draw(edge.at - 0.5, color="#56b4e9", linewidth=0.8, linestyle=(0, (4, 6)))
