"""Label images of many shapes, for what measures and outlines objects."""

import numpy as np
from scipy import ndimage


def blobs(height, width, seed=0, smooth=2.0, connectivity=4):
    """Random objects (H, W) int32, many at the border, some with holes and touching corners."""
    noise = np.random.default_rng(seed).standard_normal((height, width))
    mask = ndimage.gaussian_filter(noise, smooth) > 0
    structure = ndimage.generate_binary_structure(2, 1 if connectivity == 4 else 2)
    return ndimage.label(mask, structure)[0].astype(np.int32)


def scenes():
    """Name -> labels (H, W) int32."""
    ring = np.zeros((9, 11), np.int32)
    ring[1:8, 1:10] = 4
    ring[3:6, 3:7] = 0
    ring[4, 4:6] = 9  # an object in the hole
    corners = np.zeros((6, 6), np.int32)
    corners[1:3, 1:3] = corners[3:5, 3:5] = corners[1, 4] = 2  # pieces that meet at a corner
    closed = np.zeros((5, 5), np.int32)
    closed[1:4, 1:4] = 1
    closed[2, 2] = closed[3, 3] = 0  # a hole that the outside touches at a corner
    touching = np.repeat(np.arange(1, 5, dtype=np.int32).reshape(2, 2), 3, axis=0).repeat(4, axis=1)
    return {
        "nothing": np.zeros((4, 5), np.int32),
        "everything": np.ones((3, 4), np.int32),
        "one pixel": np.eye(1, dtype=np.int32),
        "a row": np.full((1, 7), 3, np.int32),
        "a column": np.full((7, 1), 3, np.int32),
        "a ring": ring,
        "corners": corners,
        "closed at a corner": closed,
        "a diagonal": np.eye(6, dtype=np.int32),
        "a chessboard": np.indices((7, 8)).sum(axis=0).astype(np.int32) % 2,
        "touching": touching,
        "blobs": blobs(60, 83),
        "8-connected": blobs(70, 64, 1, 1.0, 8),
        "rough": blobs(50, 61, 2, 0.7),
        "any numbers": np.random.default_rng(3).integers(0, 4, (40, 30)).astype(np.int32) * 7,
    }
