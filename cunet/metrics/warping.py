"""Warping error: where a proposal's topology is wrong, however its borders are placed.

The truth is warped towards the proposal by flipping one pixel after another, each only if it is a
simple point: its flip neither joins nor splits nor creates nor deletes an object or a hole. What
still differs afterwards is an error of topology, and is classified. Foreground (cells) is
4-connected, background (membrane) 8-connected; beyond the image is background.

Whether a point is simple is seen from its eight neighbours. Walk round them: each run of foreground
that touches the pixel by a side is a piece, and the background between two pieces is a gap. With
one piece and so one gap the flip moves a border. With none it makes or deletes an object or a hole,
with several it joins or parts what meets here.

The order of visits decides which of several warpings is found, and is that of the organisers'
program: most confident pixels first, |p - threshold| descending in float32, ties column by column
(x outer, y inner); sweeps are repeated until one flips nothing. Source: Jain et al. 2010,
"Boundary learning by optimization with topological constraints"; simple points: Bertrand and
Malandain 1994, computed by Yokoi's connectivity number (1973).
"""

import heapq

import numpy as np
from scipy.ndimage import label

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
    """Flip the simple points among the listed pixels of image (H+2, W+2) bool, in place.

    Sweep after sweep looks at all that are left, in the order of the list. A pixel whose neighbours
    are as they were when it was looked at last is as little simple as then. So only those are
    visited beside which one has flipped: in the same sweep if they come later in the list, else in
    the next. Visits are numbered sweep after sweep; those after the first sweep stand in a heap.
    """
    number = rows.size
    place = np.full(image.shape, -1, np.int64)  # in the list, while a pixel can still flip
    for k in range(number):
        place[rows[k], columns[k]] = k
    visits = [0 for _ in range(0)]  # an empty list of integers
    expected = np.ones(number, np.bool_)  # whether another visit is to come
    first = 0
    while first < number or visits:
        if first < number:  # the first sweep visits all
            visit = first
            first += 1
        else:
            visit = heapq.heappop(visits)
        k = visit % number
        expected[k] = False
        row, column = rows[k], columns[k]
        pieces = 0  # Yokoi's number: how many 4-connected pieces of foreground meet at this pixel
        for i in range(0, 8, 2):
            here = image[row + ring[i, 0], column + ring[i, 1]]
            corner = image[row + ring[i + 1, 0], column + ring[i + 1, 1]]
            after = image[row + ring[(i + 2) % 8, 0], column + ring[(i + 2) % 8, 1]]
            if here and not (corner and after):
                pieces += 1
        if pieces != 1:
            continue
        image[row, column] = not image[row, column]
        place[row, column] = -1
        for i in range(8):
            other = place[row + ring[i, 0], column + ring[i, 1]]
            if other >= 0 and not expected[other]:
                sweep = visit // number + (other < k)
                heapq.heappush(visits, sweep * number + other)
                expected[other] = True


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
    near = objects[rows[:, None] + 1 + RING[:, 0], columns[:, None] + 1 + RING[:, 1]]
    around = np.sort(near)
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
    asked = np.flatnonzero((distinct == 2) & white)
    parted = cuts(padded, rows[asked] + 1, columns[asked] + 1)
    if radius > 0:
        whole = asked[~parted]
        where = rows[whole] + 1, columns[whole] + 1, highest[whole]
        parted[~parted] = _cuts_in_windows(objects, *where, RING, radius)
    kind[asked[parted]] = SPLIT
    kinds[rows, columns] = kind
    return kinds


def cuts(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Whether a cell falls into parts without each of these white pixels, (pixels,) bool.

    image (H, W) bool has background along its border. Several pieces of the cell meet at such a
    pixel, and gaps part them. If all gaps belong to different backgrounds, say one to the outside
    and one to a hole, the pieces still hang together round the holes. If two gaps belong to one
    background, it reaches round a piece, which comes off.
    """
    backgrounds, _ = label(~image, np.ones((3, 3)))  # 8-connected; 0 is foreground
    near = backgrounds[rows[:, None] + RING[:, 0], columns[:, None] + RING[:, 1]]
    here, corner, after = near[:, ::2], near[:, 1::2], np.roll(near[:, ::2], -1, axis=1)
    ends = (here == 0) & ((corner > 0) | (after > 0))  # a piece ends, and a gap begins
    gaps = np.sort(np.where(ends, np.maximum(corner, after), 0))  # the background of each
    return ((gaps[:, 1:] > 0) & (gaps[:, 1:] == gaps[:, :-1])).any(axis=1)


@compiled
def _cuts_in_windows(
    objects: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    numbers: np.ndarray,
    ring: np.ndarray,
    radius: int,
) -> np.ndarray:
    """Whether the neighbours of each pixel that belong to an object, one of numbers, are in several
    parts of what a window holds of it; the pixel itself does not count. objects (H, W)."""
    height, width = objects.shape
    parted = np.zeros(rows.size, np.bool_)
    reached = np.full(objects.shape, -1, np.int32)  # for which pixel this one was reached
    queue = np.empty((objects.size, 2), np.int32)
    for k in range(rows.size):
        row, column, number = rows[k], columns[k], numbers[k]
        top, bottom = max(0, row - radius), min(height, row + radius + 1)
        left, right = max(0, column - radius), min(width, column + radius + 1)
        reached[row, column] = k
        missing = first = last = 0  # neighbours of the object not yet reached; the queue's ends
        for i in range(8):
            y, x = row + ring[i, 0], column + ring[i, 1]
            if objects[y, x] == number:
                missing += 1
                queue[0, 0], queue[0, 1] = y, x
                last = 1
        if missing:
            reached[queue[0, 0], queue[0, 1]] = k
            missing -= 1
        while first < last and missing > 0:
            y, x = queue[first, 0], queue[first, 1]
            first += 1
            for i in range(0, 8, 2):
                v, u = y + ring[i, 0], x + ring[i, 1]
                inside = top <= v < bottom and left <= u < right
                if inside and objects[v, u] == number and reached[v, u] != k:
                    reached[v, u] = k
                    queue[last, 0], queue[last, 1] = v, u
                    last += 1
                    if abs(v - row) <= 1 and abs(u - column) <= 1:
                        missing -= 1
        parted[k] = missing > 0
    return parted


def count(kinds: np.ndarray) -> dict[str, int]:
    """The number of pixels of each kind in a map of classify()."""
    numbers = np.bincount(kinds.ravel(), minlength=HOLE_DELETION + 1)
    return {name: int(numbers[1 << bit]) for bit, name in enumerate(KINDS)}
