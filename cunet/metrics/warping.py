"""Warping error: where a proposal's topology is wrong, however its borders are placed.

The truth is warped towards the proposal by flipping one pixel after another, each only if it is a
simple point: its flip neither joins nor splits nor creates nor deletes an object or a hole. What
still differs afterwards is an error of topology, and is classified. Foreground (cells) is
4-connected, background (membrane) 8-connected; beyond the image is background.

The order of visits decides which of several warpings is found, and is that of the organisers'
program: most confident pixels first, |p - threshold| descending in float32, ties column by column
(x outer, y inner); sweeps are repeated until one flips nothing. Source: Jain et al. 2010,
"Boundary learning by optimization with topological constraints"; simple points: Bertrand and
Malandain 1994, computed by Yokoi's connectivity number (1973).
"""

import numpy as np
from scipy.ndimage import find_objects, label

from cunet.compiled import compiled

KINDS = (
    "merge",
    "split",
    "hole_addition",
    "object_deletion",
    "object_addition",
    "hole_deletion",
)
MERGE, SPLIT, HOLE_ADDITION, OBJECT_DELETION, OBJECT_ADDITION, HOLE_DELETION = 1, 2, 4, 8, 16, 32
# The eight neighbours (row, column) in a ring, beginning with one of the four direct ones
RING = np.array([(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)])


def warp(probability: np.ndarray, truth: np.ndarray, threshold: float) -> np.ndarray:
    """The truth (H, W) bool warped towards probability (H, W) > threshold, (H, W) bool."""
    probability = probability.astype(np.float64, copy=False)
    found = probability > threshold
    columns, rows = np.nonzero((found != truth).T)  # x outer, y inner
    confidence = np.abs(probability[rows, columns] - threshold).astype(np.float32)
    order = np.argsort(-confidence, kind="stable")
    warped = np.pad(truth, 1)
    _sweep(warped, rows[order] + 1, columns[order] + 1, RING)
    return warped[1:-1, 1:-1]


@compiled
def _sweep(image: np.ndarray, rows: np.ndarray, columns: np.ndarray, ring: np.ndarray) -> None:
    """Flip the simple points among the listed pixels of image (H+2, W+2) bool, in place."""
    left = rows.size
    while left > 0:
        kept = 0
        for k in range(left):
            row, column = rows[k], columns[k]
            # Yokoi's number: how many 4-connected pieces of foreground meet at this pixel
            meeting = 0
            for i in range(0, 8, 2):
                here = image[row + ring[i, 0], column + ring[i, 1]]
                corner = image[row + ring[i + 1, 0], column + ring[i + 1, 1]]
                after = image[row + ring[(i + 2) % 8, 0], column + ring[(i + 2) % 8, 1]]
                if here and not (corner and after):
                    meeting += 1
            if meeting == 1:
                image[row, column] = not image[row, column]
            else:
                rows[kept], columns[kept] = row, column
                kept += 1
        if kept == left:
            break
        left = kept


def classify(warped: np.ndarray, found: np.ndarray, radius: int = -1) -> np.ndarray:
    """What kind of error each pixel is where the warped truth and the proposal differ.

    warped, found (H, W) bool -> (H, W) uint8: MERGE ... HOLE_DELETION, or 0 where they agree.
    Whether a cell would fall into parts without a pixel is decided in the whole image (radius -1)
    or in a window of 2 radius + 1 pixels around it.
    """
    kinds = np.zeros(warped.shape, np.uint8)
    rows, columns = np.nonzero(warped != found)
    padded = np.pad(warped, 1)
    objects, _ = label(padded)
    around = np.sort(objects[rows[:, None] + 1 + RING[:, 0], columns[:, None] + 1 + RING[:, 1]])
    distinct = 1 + np.count_nonzero(np.diff(around, axis=1), axis=1)
    highest = around[:, -1]
    white = warped[rows, columns]  # cell in the warped truth, not in the proposal
    alike = np.where(
        highest == 0,
        np.where(white, OBJECT_DELETION, OBJECT_ADDITION),
        np.where(white, HOLE_ADDITION, HOLE_DELETION),
    )
    one_object = np.where(white, HOLE_DELETION, HOLE_ADDITION)
    several = np.where(white, SPLIT, MERGE)
    kind = np.choose(np.minimum(distinct, 3) - 1, [alike, one_object, several])
    boxes = find_objects(objects)
    for k in np.flatnonzero((distinct == 2) & white):
        row, column, number = rows[k] + 1, columns[k] + 1, highest[k]
        if radius < 0:  # the object's own box holds all of it, and the neighbours of its neighbours
            box = tuple(slice(max(0, s.start - 2), s.stop + 2) for s in boxes[number - 1])
        else:
            box = tuple(slice(max(0, i - radius), i + radius + 1) for i in (row, column))
        if _falls_apart(objects[box] == number, row - box[0].start, column - box[1].start):
            kind[k] = SPLIT
    kinds[rows, columns] = kind
    return kinds


def _falls_apart(cell: np.ndarray, row: int, column: int) -> bool:
    """Whether the neighbours of a pixel are in two parts of a cell (bool) that has lost it."""
    cell[row, column] = False
    parts, _ = label(cell)
    near = {parts[row + i, column + j] for i, j in RING} - {0}
    return len(near) > 1


def count(kinds: np.ndarray) -> dict[str, int]:
    """The number of pixels of each kind in a map of classify()."""
    numbers = np.bincount(kinds.ravel(), minlength=HOLE_DELETION + 1)
    return {name: int(numbers[1 << bit]) for bit, name in enumerate(KINDS)}
