"""The warping error by its definition, visit by visit and cell by cell; slow.

Every sweep looks at every pixel that is left, and whether a cell falls apart without a pixel is
seen by numbering what is left of it. cunet/metrics/warping.py must give the same, bit for bit.
"""

import numpy as np
from scipy.ndimage import find_objects, label

from cunet.metrics.warping import (
    HOLE_ADDITION,
    HOLE_DELETION,
    MERGE,
    OBJECT_ADDITION,
    OBJECT_DELETION,
    SPLIT,
)

RING = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))


def simple(image, row, column):
    """Whether Yokoi's number of 4-connected foreground is 1 at a pixel; image has a border."""
    ring = [bool(image[row + dy, column + dx]) for dy, dx in RING]
    ring += ring[:1]
    pieces = [ring[i] and not (ring[i + 1] and ring[i + 2]) for i in range(0, 8, 2)]
    return sum(pieces) == 1


def warp(probability, truth, threshold):
    """The truth (H, W) bool warped towards probability > threshold, by full sweeps."""
    probability = probability.astype(np.float64)
    columns, rows = np.nonzero(((probability > threshold) != truth).T)
    confidence = np.abs(probability[rows, columns] - threshold).astype(np.float32)
    order = np.argsort(-confidence, kind="stable")
    left = list(zip((rows[order] + 1).tolist(), (columns[order] + 1).tolist(), strict=True))
    image, before = np.pad(truth, 1), -1
    while len(left) != before:
        before, kept = len(left), []
        for place in left:
            if simple(image, *place):
                image[place] = not image[place]
            else:
                kept.append(place)
        left = kept
    return image[1:-1, 1:-1]


def classify(warped, found, radius=-1):
    """The kind of error of every pixel (H, W) where the two differ."""
    kinds, padded = np.zeros(warped.shape, np.uint8), np.pad(warped, 1)
    objects = label(padded)[0]
    boxes = find_objects(objects)
    for row, column in np.argwhere(warped != found) + 1:
        around = {int(objects[row + dy, column + dx]) for dy, dx in RING}
        white, number = padded[row, column], max(around)
        if len(around) > 2:
            kind = SPLIT if white else MERGE
        elif len(around) == 2 and not white:
            kind = HOLE_ADDITION
        elif len(around) == 2:
            box = tuple(slice(max(0, s.start - 2), s.stop + 2) for s in boxes[number - 1])
            if radius > 0:
                box = tuple(slice(max(0, i - radius), i + radius + 1) for i in (row, column))
            cell = objects[box] == number
            row_there, column_there = row - box[0].start, column - box[1].start
            cell[row_there, column_there] = False
            parts = label(cell)[0]
            near = {int(parts[row_there + dy, column_there + dx]) for dy, dx in RING} - {0}
            kind = SPLIT if len(near) > 1 else HOLE_DELETION
        elif number == 0:
            kind = OBJECT_DELETION if white else OBJECT_ADDITION
        else:
            kind = HOLE_ADDITION if white else HOLE_DELETION
        kinds[row - 1, column - 1] = kind
    return kinds
