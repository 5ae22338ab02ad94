"""Pictures for people, drawn with matplotlib, which is imported only when one is drawn.

H W: height and width of an image; n: side of an input tile, m: side of its output.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cunet.data.atomic import publish, temporary_name, write_error
from cunet.data.label_check import IGNORE


def augmentation_sheet(
    samples: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], path: str | Path
) -> None:
    """Draws training samples on one PNG: input tile, labels and weight map side by side.

    samples are x (n, n, C) normalised, labels y (m, m) and weights (m, m) of its middle. The frame
    in the tile is that middle; class boundaries are outlined in red, ignored pixels blue. All weight
    maps share one scale.
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
        tile, outline, heat = axes.reshape(-1, 3)[number]
        size, edge = len(labels), (len(x) - len(labels)) // 2
        middle = x[edge : edge + size, edge : edge + size]
        tile.imshow(_shown(x), cmap="gray", vmin=0, vmax=1)
        frame = (edge - 0.5, edge - 0.5)
        tile.add_patch(Rectangle(frame, size, size, fill=False, edgecolor="orange"))
        outline.imshow(_shown(middle), cmap="gray", vmin=0, vmax=1)
        outline.imshow(_outlined(labels))
        picture = heat.imshow(weights, cmap="inferno", vmin=0, vmax=highest)
        if number < groups:
            tile.set_title("input tile", fontsize=9)
            outline.set_title("labels", fontsize=9)
            heat.set_title("weights", fontsize=9)
    figure.colorbar(picture, ax=axes, shrink=0.4, label="weight of a pixel in the loss")
    path = Path(path)
    part = temporary_name(path)
    try:
        figure.savefig(part, format="png", dpi=110)
        publish(part, path)
    except OSError as error:
        raise write_error(error, path, 0) from error
    finally:
        part.unlink(missing_ok=True)


def _shown(x: np.ndarray) -> np.ndarray:
    """A normalised image (H, W, C) as gray (H, W) or colour (H, W, 3) from 0 to 1."""
    shown = np.clip(0.5 + x / 5, 0, 1)
    return shown if x.shape[2] == 3 else shown[..., 0]


def _outlined(labels: np.ndarray) -> np.ndarray:
    """(H, W, 4): red where a pixel's class differs from its neighbour's, blue where it is ignored."""
    picture = np.zeros((*labels.shape, 4))
    ignored = labels == IGNORE
    picture[ignored] = (0.2, 0.4, 1, 0.35)
    edge = np.zeros(labels.shape, bool)
    edge[:-1] |= labels[:-1] != labels[1:]
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    picture[edge] = (1, 0.15, 0.1, 1)
    return picture
