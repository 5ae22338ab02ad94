"""Lesson: the weight map, equation 2 of the paper, by hand and on two touching disks."""

import numpy as np

from cunet.data.weight_map import (
    PAPER,
    class_weights,
    cut_touching,
    open_gaps,
    paper_map,
    two_distances,
)
from cunet.lessons.parts import (
    Arrays,
    Check,
    Formula,
    Heading,
    Lines,
    Parts,
    Picture,
    Table,
    Text,
    apart,
)

READ = ("cunet/data/weight_map.py",)

CELLS = np.array([[1, 1, 0, 0, 2, 2]] * 2 + [[0] * 6] * 2)  # two cells, numbered
HEIGHT, WIDTH, RADIUS = 48, 72, 14
LONG = 8  # rows of the walls in the exercise, and twice as many pixels as their widest gap


def border(d1: float, d2: float) -> float:
    """The second term of eq. 2, computed from the two distances alone."""
    w0, sigma = PAPER
    return w0 * float(np.exp(-((d1 + d2) ** 2) / (2 * sigma**2)))


def weights_of(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """labels (0 background, 1 cell), the weights of the two classes, and the weight map."""
    labels = open_gaps((cells > 0).astype(np.uint8), cells)
    balance = class_weights([labels], classes=2)
    return labels, balance, paper_map(labels, cells, balance)


def disks() -> np.ndarray:
    """Two numbered disks (48, 72) that touch."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    cells = np.zeros((HEIGHT, WIDTH), np.int32)
    for number, column in enumerate((21, 50), start=1):
        cells[np.hypot(rows - 24, columns - column) <= RADIUS + 0.5] = number
    return cells


def by_definition(cells: np.ndarray) -> np.ndarray:
    """Eq. 2 of every pixel, from the distances to every pixel of every cell."""
    labels = open_gaps((cells > 0).astype(np.uint8), cells)
    total, found = labels.size, np.empty(labels.shape)
    per_class = [total / (2 * np.sum(labels == k)) for k in (0, 1)]
    pixels = [np.argwhere(cells == number) for number in range(1, cells.max() + 1)]
    for place in np.ndindex(labels.shape):
        found[place] = per_class[labels[place]]
        if labels[place] == 0:
            d1, d2 = sorted(np.hypot(*(cell - place).T).min() for cell in pixels)[:2]
            found[place] += border(d1, d2)
    return found


def lesson() -> Parts:
    """Eq. 2 by hand, on disks, down the gap, against its definition."""
    yield Heading("The formula")
    yield Text(
        "Cells often touch. If the background between two of them is one pixel wide, a network "
        "that overlooks it loses next to nothing: few pixels are wrong. But it finds one cell "
        "instead of two. So the loss (lesson softmax-loss, eq. 1) has a weight for every pixel, "
        "known before training, and pixels in narrow gaps get a high one:"
    )
    yield Formula(
        "w = w_c + w0 exp(-(d1 + d2)^2 / (2 sigma^2))      w0 = 10, sigma = 5 pixels",
        r"w = w_c + w_0 \exp\!\left(-\frac{(d_1 + d_2)^2}{2\sigma^2}\right), "
        r"\quad w_0 = 10,\ \sigma = 5\text{ pixels}",
    )
    yield Text(
        "d1 is the distance to the nearest cell, d2 that to the second nearest; the term stands on "
        "background alone. Their sum is the width of the gap, wherever in the gap one stands. w_c "
        "makes up for classes of different sizes: of N pixels, N_k belong to class k of K, and"
    )
    yield Formula("w_c(k) = N / (K N_k)", r"w_c(k) = \frac{N}{K\,N_k}")
    labels, balance, weights = weights_of(CELLS)
    d1, d2 = two_distances(CELLS, reach=30)
    yield Arrays({"cells": CELLS, "d1": d1})
    yield Arrays({"d2": d2, "w": weights})
    cell, total = int(labels.sum()), labels.size
    yield Text(
        f"By hand: {total - cell} of the {total} pixels are background, so w_c is "
        f"{total} / (2*{total - cell}) = {balance[0]:g} there, and {total} / (2*{cell}) = "
        f"{balance[1]:g} on cells. In the gap, at (0, 2), d1 + d2 = {d1[0, 2]:g} + {d2[0, 2]:g} = "
        f"{d1[0, 2] + d2[0, 2]:g}, so w = {balance[0]:g} + 10 exp(-9/50) = {balance[0]:g} + "
        f"{border(1, 2):.2f} = {weights[0, 2]:.2f}: one pixel there counts as much as twelve of "
        "background far away."
    )
    yield Text(
        "There is no backward: w depends on no parameter. It is a factor of its pixel's loss, and "
        "so of its pixel's gradient."
    )

    yield Heading("Cells that touch")
    cells = disks()
    labels, balance, weights = weights_of(cells)
    touching = (cells > 0) & (labels == 0)
    yield Text(
        "What if there is no background between them at all? Then a gap of one pixel is opened "
        f"first. These two disks touch in {touching.sum()} pixels, which become background (every "
        "second row and column is shown):"
    )
    shown = {"cells": cut_touching(cells) * 5.0, "weights": np.asarray(weights, float)}
    yield Picture({name: image[6:43:2, 4:68:2] for name, image in shown.items()}, 0, 11)
    yield Lines(
        "cunet.data.weight_map:cut_touching",
        [
            (
                "for row, column in ((0, 0), (0, 1), (0, 2), (1, 0)):",
                "the neighbours that were read before a pixel: above it three, and the left one",
            ),
            (
                "cut |= (neighbour > 0) & (neighbour != instances)",
                "a pixel that has another cell there is cut, so of two cells only one loses any",
            ),
        ],
    )
    yield Lines(
        "cunet.data.weight_map:paper_map",
        [
            (
                "first, second = two_distances(instances, REACH_IN_SIGMAS * sigma)",
                "to the uncut cells; from 30 pixels on the term is below 1e-6 and is 0",
            ),
            (
                "weights += np.where(background, w0 * _bell(first + second, sigma), 0)",
                "eq. 2's second term, on background",
            ),
        ],
    )
    yield Text(
        f"The weights of the classes are {balance[0]:.3f} for background and {balance[1]:.3f} for "
        "cells: with them each class has half of the total weight, whatever its area. The border "
        f"term comes on top. Down the gap, in column {column_of(touching)}, from the middle "
        "outwards it widens, and the weight falls (where the disks touched, d1 is 0, since "
        "distances are those to the uncut cells):"
    )
    yield Table(("row", "d1", "d2", "w", "w_c + w0 exp(-(d1 + d2)^2 / 50)"), down_the_gap(cells))
    left = ", ".join(f"{weight:.3f}" for weight in weights[24, :5])
    yield Text(
        f"To the left of the first disk, where no second cell is near, w is w_c alone: {left}."
    )

    yield Heading("Check")
    yield Text(
        "The map again by its definition: for every pixel of the background the distance to each "
        "pixel of each disk, the nearest of each disk, and eq. 2. (The package uses a distance "
        "transform, which takes time for each pixel once and not for each pair.)"
    )
    error = apart(weights, by_definition(cells))
    yield Check("weights by pairs of pixels and by the package", error, 1e-5)
    totals = [float(balance[k] * (labels == k).sum()) for k in (0, 1)]
    yield Check("total class weight of background and of cells", apart(*totals), 1e-9)


def column_of(touching: np.ndarray) -> int:
    """The first column in which the disks touch."""
    return int(np.flatnonzero(touching.any(axis=0))[0])


def down_the_gap(cells: np.ndarray) -> list[tuple[str, ...]]:
    """Rows of the table: d1, d2, the map and the formula, every third pixel of the column."""
    labels, balance, weights = weights_of(cells)
    d1, d2 = two_distances(cells, reach=30)
    column = column_of((cells > 0) & (labels == 0))
    found: list[tuple[str, ...]] = []
    for row in range(24, HEIGHT, 3):
        if labels[row, column] == 0:
            near, far = d1[row, column], d2[row, column]
            formula = balance[0] + border(near, far)
            weight = f"{weights[row, column]:.3f}"
            found.append((str(row), f"{near:.2f}", f"{far:.2f}", weight, f"{formula:.3f}"))
    return found


def exercise() -> Parts:
    """The width at which the term is halved."""
    yield Text(
        "Two long cells lie side by side with a gap of g pixels between them. How large is d1 + d2 "
        "in the gap? And up to which g is the border term more than half of w0 = 10?"
    )


def answer() -> Parts:
    """g + 1; four pixels."""
    yield Text(
        "A pixel that is d1 from one cell is g + 1 - d1 from the other, so d1 + d2 = g + 1 "
        "everywhere in the gap. exp(-(g + 1)^2 / 50) is 1/2 where (g + 1)^2 = 50 ln 2, so at "
        f"g + 1 = {np.sqrt(50 * np.log(2)):.2f}: up to g = 4. The package's map, less w_c:"
    )
    rows, spread = [], 0.0
    for gap in range(1, LONG + 1):
        cells = np.zeros((LONG, 2 * LONG), np.int32)
        cells[:, 0], cells[:, gap + 1] = 1, 2
        _, balance, weights = weights_of(cells)
        term = weights[0, 1 : gap + 1] - balance[0]
        rows.append((str(gap), f"{term.max():.2f}", f"{border(0, gap + 1):.2f}"))
        spread = max(spread, float(np.ptp(term)))
    yield Table(("g", "map less w_c", "10 exp(-(g + 1)^2 / 50)"), rows)
    yield Check("the term at any two places in one gap", spread, 1e-5)
    yield Text(
        "So sigma = 5 says what a narrow gap is: in pixels of the image that is trained on. On an "
        "image of another magnification it is another width, and sigma should go with it."
    )
