"""Training samples as one picture. n: side of an input tile, m: side of its output."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import maximum_filter

from cunet.data.labels import IGNORE
from cunet.pictures.colours import GOLD, heat
from cunet.pictures.figures import save
from cunet.pictures.outlines import boundary

GAP = 128  # grey between the pictures of a strip, on light and dark pages


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


def sample_strip(
    sample: tuple[np.ndarray, np.ndarray, np.ndarray], highest: float, side: int
) -> np.ndarray:
    """The same of one sample as (side, 3 side + gaps, 3) uint8, small enough for a web page.

    Weights are drawn from 0 to `highest` in the colours of `heat`.
    """
    x, labels, weights = sample
    size, edge = len(labels), (len(x) - len(labels)) // 2
    tile = _red_green_blue(_shown(x))
    line = max(1, round(2 * len(x) / side))
    frame = np.zeros(x.shape[:2], bool)
    frame[edge : edge + size, edge : edge + size] = True
    frame[edge + line : edge + size - line, edge + line : edge + size - line] = False
    inside = _red_green_blue(_shown(x[edge : edge + size, edge : edge + size]))
    if edge:
        tile[frame] = GOLD
    marked = _outlined(labels)
    share = maximum_filter(marked[..., 3:], (max(1, round(size / side)),) * 2 + (1,))
    inside = inside * (1 - share) + 255 * marked[..., :3] * share
    thick = maximum_filter(weights, max(1, round(size / side)))
    panels = [tile, inside, heat(thick, highest)]
    gap = np.full((side, max(1, side // 40), 3), GAP, np.uint8)
    small = [_sized(np.rint(panel).astype(np.uint8), side) for panel in panels]
    return np.hstack([small[0], gap, small[1], gap, small[2]])


def _red_green_blue(shown: np.ndarray) -> np.ndarray:
    """A picture from 0 to 1, grey or in colour, as (H, W, 3) from 0 to 255."""
    shown = shown if shown.ndim == 3 else np.repeat(shown[..., None], 3, axis=2)
    return 255.0 * shown


def _sized(picture: np.ndarray, side: int) -> np.ndarray:
    """A square picture (n, n, 3) uint8 as one of `side` pixels."""
    smooth = Image.Resampling.BOX if len(picture) > side else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(picture).resize((side, side), smooth))


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
