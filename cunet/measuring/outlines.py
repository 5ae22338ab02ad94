"""The outlines of objects along the edges of their pixels, as closed polygons.

A polygon goes through corners of pixels, so it encloses exactly the pixels of its object, and not
the half of those at its border, as a line through their middles would.
"""

from collections.abc import Iterator

import numpy as np

from cunet.compiled import compiled


def outlines(labels: np.ndarray) -> Iterator[tuple[int, list[np.ndarray]]]:
    """(number, polygons) of every object in labels (H, W), by number.

    Each polygon is (n, 2) int32: the corners (x, y) at which it turns, pixel (row, column) being
    the square from (column, row) to (column + 1, row + 1). Around an object it is clockwise in the
    picture, around a hole the other way. Pixels that touch at a corner alone are parted there, so
    an object has one polygon for each of its 4-connected pieces, and one for each hole.
    """
    labels = np.ascontiguousarray(labels, np.int32)
    sides = _count_sides(labels)
    corners = np.empty((sides, 2), np.int32)
    loops = np.empty((sides // 4 + 1, 2), np.int64)
    count = _trace(labels, np.zeros(labels.shape, np.bool_), corners, loops)
    numbers, starts = loops[:count, 0], loops[: count + 1, 1]
    order = np.argsort(numbers, kind="stable")
    first = np.flatnonzero(np.diff(numbers[order], prepend=0))
    for group in np.split(order, first[1:]) if count else ():
        polygons = [corners[starts[k] : starts[k + 1]] for k in group]
        yield int(numbers[group[0]]), polygons


def _count_sides(labels: np.ndarray) -> int:
    """How many sides of pixels have another number, or nothing, on the other side."""
    count = 0
    for one in (labels, labels.T):
        differ = one[1:] != one[:-1]
        for side in (differ & (one[1:] > 0), differ & (one[:-1] > 0), one[0], one[-1]):
            count += int(np.count_nonzero(side))
    return count


@compiled
def _trace(labels: np.ndarray, seen: np.ndarray, corners: np.ndarray, loops: np.ndarray) -> int:
    """Walk along every outline with the object on the right; returns how many there are.

    corners: filled with the corners of all outlines; loops: with the number and the first corner of
    each, and at last with the end. seen (H, W): the pixels whose upper side was walked along.

    A walk stands at one side of a pixel: 0 the upper one, to the right; 1 the right one, down; 2
    the lower one, to the left; 3 the left one, up. Every outline has an upper side.
    """
    rows, columns = labels.shape
    ahead_y, ahead_x = (0, 1, 0, -1), (1, 0, -1, 0)
    aside_y, aside_x = (-1, 0, 1, 0), (0, 1, 0, -1)
    corner, count = 0, 0
    for row in range(rows):
        for column in range(columns):
            number = labels[row, column]
            if number == 0 or seen[row, column] or (row > 0 and labels[row - 1, column] == number):
                continue
            loops[count, 0], loops[count, 1] = number, corner
            count += 1
            y, x, side = row, column, 0
            while True:
                if side == 0:
                    seen[y, x] = True
                v, u = y + ahead_y[side], x + ahead_x[side]
                inside = 0 <= v < rows and 0 <= u < columns
                turn = 0
                if not inside or labels[v, u] != number:
                    turn = 1
                else:
                    b, a = v + aside_y[side], u + aside_x[side]
                    inside = 0 <= b < rows and 0 <= a < columns
                    if inside and labels[b, a] == number:
                        v, u, turn = b, a, 3
                if turn != 0:
                    corners[corner, 0] = x + (side == 0 or side == 1)
                    corners[corner, 1] = y + (side == 1 or side == 2)
                    corner += 1
                if turn != 1:
                    y, x = v, u
                side = (side + turn) % 4
                if side == 0 and y == row and x == column:
                    break
    loops[count, 1] = corner
    return count
