"""Training samples as one picture. n: side of an input tile, m: side of its output."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cunet.data.labels import IGNORE
from cunet.pictures.figures import save
from cunet.pictures.outlines import boundary


def augmentation_sheet(
    samples: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], path: str | Path
) -> None:
    """Draws training samples on one PNG: input tile, labels and weight map side by side.

    samples are x (n, n, C) normalised, labels (m, m) and weights (m, m) of its middle, which a
    frame in the tile shows. Class boundaries are red, ignored pixels blue. All weight maps share
    one scale. Raises DeviceError or CunetError if the file cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    groups = 2 if len(samples) > 1 else 1
    lines = -(-len(samples) // groups)
    figure = Figure(figsize=(6.3 * groups + 1, 2.1 * lines), layout="compressed")
    axes = figure.subplots(lines, 3 * groups, squeeze=False)
    highest = max(float(weights.max()) for _, _, weights in samples)
    for axis in axes.flat:
        axis.set_axis_off()
    for number, (x, labels, weights) in enumerate(samples):
        tile, middle, heat = axes.reshape(-1, 3)[number]
        size, edge = len(labels), (len(x) - len(labels)) // 2
        inside = x[edge : edge + size, edge : edge + size]
        tile.imshow(_shown(x), cmap="gray", vmin=0, vmax=1)
        frame = (edge - 0.5, edge - 0.5)
        tile.add_patch(Rectangle(frame, size, size, fill=False, edgecolor="orange"))
        middle.imshow(_shown(inside), cmap="gray", vmin=0, vmax=1)
        middle.imshow(_outlined(labels))
        picture = heat.imshow(weights, cmap="inferno", vmin=0, vmax=highest)
        if number < groups:
            tile.set_title("input tile", fontsize=9)
            middle.set_title("labels", fontsize=9)
            heat.set_title("weights", fontsize=9)
    figure.colorbar(picture, ax=axes, shrink=0.4, label="weight of a pixel in the loss")
    save(figure, path)


def _shown(x: np.ndarray) -> np.ndarray:
    """A normalised image (H, W, C) as grey (H, W) or colour (H, W, 3) from 0 to 1."""
    shown = np.clip(0.5 + x / 5, 0, 1)
    return shown if x.shape[2] == 3 else shown[..., 0]


def _outlined(labels: np.ndarray) -> np.ndarray:
    """(H, W, 4) to lay over an image: class boundaries red, ignored pixels blue."""
    picture = np.zeros((*labels.shape, 4))
    picture[labels == IGNORE] = (0.2, 0.4, 1, 0.35)
    picture[boundary(labels)] = (1, 0.15, 0.1, 1)
    return picture
