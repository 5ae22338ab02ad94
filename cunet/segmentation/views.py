"""The views of a tile - itself, flipped, transposed - and a network's mean result over them.

The tile is transformed, never the image: flipping the image would move the pooling grid.
"""

import numpy as np

from cunet.net.memory import explained
from cunet.net.unet import UNet

# Each view of a tile as (transposed, rows flipped, columns flipped)
FLIPS = [(False, rows, columns) for rows in (False, True) for columns in (False, True)]
AVERAGES = {"none": FLIPS[:1], "flips": FLIPS, "rotations": FLIPS + [(True, *f[1:]) for f in FLIPS]}


def average_views(net: UNet, tile: np.ndarray, views: list[tuple[bool, bool, bool]]) -> np.ndarray:
    """The mean of the probabilities (P, Q, K) over the views of one normalised tile (H, W, C)."""
    total = _one_view(net, tile, *views[0])
    for view in views[1:]:
        total = total + _one_view(net, tile, *view)
    return total / len(views) if len(views) > 1 else total


def _one_view(
    net: UNet, tile: np.ndarray, transposed: bool, rows: bool, columns: bool
) -> np.ndarray:
    """The probabilities (P, Q, K) of one view of a tile (H, W, C), turned back."""
    view = tile[:: -1 if rows else 1, :: -1 if columns else 1]
    view = view.swapaxes(0, 1) if transposed else view
    quiet = np.errstate(over="ignore", invalid="ignore")  # is_probability looks at the result
    with quiet, explained(net, max(view.shape[:2]), training=False):
        p = net.engine.predict(net, np.ascontiguousarray(view)[None])[0]
    p = p.swapaxes(0, 1) if transposed else p
    return p[:: -1 if rows else 1, :: -1 if columns else 1]
