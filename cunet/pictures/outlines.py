"""Outlines of objects."""

import numpy as np


def outline(found: np.ndarray) -> np.ndarray:
    """The pixels (H, W) bool of each class > 0 that touch another class above, below or beside."""
    edge = np.zeros(found.shape, bool)
    down, across = found[1:] != found[:-1], found[:, 1:] != found[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    return edge & (found > 0)
