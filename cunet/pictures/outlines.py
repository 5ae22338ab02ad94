"""Outlines of objects, and the boundaries between classes: where neighbouring pixels differ.

Neighbours lie above, below or beside each other. H W: height and width.
"""

import numpy as np


def outline(found: np.ndarray) -> np.ndarray:
    """The pixels (H, W) bool of each class > 0 in found (H, W) that touch another class.

    The line lies inside the objects; where two touch, both have one.
    """
    down, across = _steps(found)
    edge = boundary(found)
    edge[1:] |= down
    edge[:, 1:] |= across
    return edge & (found > 0)


def boundary(labels: np.ndarray) -> np.ndarray:
    """A line (H, W) bool, one pixel wide, between the classes of labels (H, W), background as well.

    It lies on the upper or left one of two pixels that differ.
    """
    down, across = _steps(labels)
    edge = np.zeros(labels.shape, bool)
    edge[:-1] |= down
    edge[:, :-1] |= across
    return edge


def _steps(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a pixel differs from the one below, (H - 1, W), and to the right, (H, W - 1)."""
    return labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
