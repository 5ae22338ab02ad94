"""Lesson: elastic deformation - random vectors on a 3x3 grid, smooth in between."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from cunet.data.augment import OFF, Augmentation, displacement, draw
from cunet.data.bend import spline_basis
from cunet.lessons.parts import (
    Arrays,
    Check,
    Formula,
    Heading,
    Lines,
    Parts,
    Picture,
    Text,
    apart,
)

READ = ("cunet/data/augment.py", "cunet/data/bend.py")

SIDE, SIGMA, FIELDS = 189, 10.0, 4000
VECTORS = np.array([[0, 8, 0], [16, 0, 0], [0, 0, -8]], float)
# By hand, at the nodes and half way between: see the lesson.
BASIS = np.array([[32, 19, 0, -3, 0], [0, 16, 32, 16, 0], [0, -3, 0, 19, 32]]) / 32


def root_mean_square(rng: np.random.Generator) -> np.ndarray:
    """Of many random fields in a tile of 49 x 49 pixels, (49, 49)."""
    total = np.zeros((49, 49))
    for _ in range(FIELDS):
        total += displacement(rng.normal(0, SIGMA, (3, 3)), 49) ** 2.0
    return np.sqrt(total / FIELDS)


def lesson() -> Parts:
    """The spline by hand, its fields, a bent grid."""
    yield Heading("The formula")
    yield Text(
        "Thirty images are few. But tissue may be bent in many ways and is tissue still, so every "
        "time a tile is shown to the network, it is bent in another way. Vectors are drawn on a "
        "grid of 3x3 points, from corner to corner of the tile, their components from a normal "
        "distribution with a deviation of 10 pixels. In between they are interpolated by smooth "
        "cubic curves, first along one axis, then along the other (bicubic). That is linear in "
        "the vectors, so it is a sum of basis functions:"
    )
    yield Formula(
        "u(p, q) = sum over i, j of  B[i, p] * V[i, j] * B[j, q]",
        r"u(p, q) = \sum_{i,j} B_{i,p}\; V_{i,j}\; B_{j,q}",
    )
    yield Text(
        "Row i of B is the smooth curve that is 1 at node i, 0 at the others, and flat at both "
        "ends. Take a tile of 5 pixels, with nodes at 0, 2 and 4. A cubic on an interval of "
        "length 1, from a to b with the slopes m and n at its ends, has (a + b)/2 + (m - n)/8 in "
        "its middle. The curve of node 1 is symmetric, so all its slopes at nodes are 0, and half "
        "way it is 1/2. That of node 0 has one unknown slope, m at node 1; the second derivatives "
        "from left and right, 6 + 4m and -4m, are equal there, so m = -3/4, and half way it is "
        "1/2 + (0 + 3/4)/8 = 19/32, then (-3/4 - 0)/8 = -3/32. All of B, times 32:"
    )
    basis = spline_basis(5, 3)
    yield Arrays({"32_B": 32 * basis})
    yield Check("B by hand and by the package", apart(BASIS, basis), 1e-6)
    yield Text("Some vectors (one component, say that along the rows), and the field they make:")
    field = displacement(VECTORS, 5)
    yield Arrays({"V": VECTORS, "u": field})
    terms = " + ".join(
        f"{32 * BASIS[i, 1]:g}*{VECTORS[i, j]:g}*{32 * BASIS[j, 1]:g}"
        for i, j in np.argwhere(VECTORS)
    )
    yield Text(
        f"By hand: u(1, 1) = ({terms}) / 32^2 = {field[1, 1]:.3g}. At the nodes - every second "
        "pixel - the field is the vectors themselves."
    )
    yield Lines(
        "cunet.data.bend:displacement",
        [
            (
                "basis = spline_basis(size, len(vectors))",
                "B, computed once for a size of tile",
            ),
            (
                'lines = np.einsum("in,ij->nj", basis, vectors.astype(np.float32))',
                "the sum over i: curves down the three columns of nodes",
            ),
            (
                'return np.einsum("nj,jm->nm", lines, basis)',
                "the sum over j: from each row's three values a curve across",
            ),
        ],
    )

    yield Heading("The fields of training")
    rng = np.random.default_rng(3)
    vectors = rng.normal(0, SIGMA, (3, 3))
    field = displacement(vectors, SIDE)
    yield Text(f"A tile of {SIDE} pixels: random vectors, and the field every 47 pixels.")
    yield Arrays({"V": vectors, "u": field[::47, ::47]})
    nodes = field[:: SIDE // 2, :: SIDE // 2]
    yield Check("the field at the nodes and the vectors", apart(vectors, nodes), 1e-4)
    yield Text("The same field by SciPy's spline in two dimensions, which knows nothing of B:")
    where = np.mgrid[:SIDE, :SIDE] * (2 / (SIDE - 1))
    scipys = ndimage.map_coordinates(vectors, where, order=3, mode="mirror")
    yield Check("the field and SciPy's", apart(scipys, field), 1e-4)
    yield Text(f"How far do pixels move? The root mean square over {FIELDS} fields:")
    rms = root_mean_square(rng)
    yield Arrays({"rms,_every_eighth_of_the_tile": rms[::6, ::6]})
    yield Text(
        f"{SIGMA:g} pixels at the nine nodes, as they were drawn, less where neighbours mix; "
        f"{rms.mean():.1f} on average."
    )

    yield Heading("An image, its labels, and what else varies")
    yield Text(
        "There are two such fields, one for rows and one for columns. They say where each pixel of "
        "the sample comes from: it is looked up at its own place plus u. So no pixel stays empty, "
        "and no two fight for one place. One pair of fields serves image and labels (lines every "
        "27 pixels, the upper left part of the tile, every third pixel):"
    )
    rows, columns = np.mgrid[:SIDE, :SIDE]
    grid = ((rows % 27 < 4) | (columns % 27 < 4)).astype(np.uint8)
    image, weights = grid[..., None].astype(np.float32), np.ones((SIDE, SIDE), np.float32)
    bend = replace(OFF, elastic="grid", sigma=SIGMA)
    x, y, _ = draw(rng, image, grid, weights, SIDE, SIDE, bend)
    yield Picture({"before": grid[:108:3, :108:3], "after": y[:108:3, :108:3]}, 0, 1)
    agree = float(((x[..., 0] > 0.5) == (y > 0)).mean())
    yield Text(
        "The image is interpolated between the four pixels around the place (bilinear). Labels "
        "cannot be, half a cell is no label: they are those of the nearest pixel. Image, rounded, "
        f"and labels agree in {agree:.2%} of the pixels. Beyond its border an image is mirrored, "
        "so a tile may look outside."
    )
    yield Check("share of pixels where image and labels differ", 1 - agree, 0.03)
    every = Augmentation()
    yield Text(
        "A training sample is also shifted, rotated and mirrored, and its grey values vary: "
        f"contrast by {every.contrast:.0%}, brightness by {every.brightness} standard deviations. "
        "There is no backward: nothing before the network is learned."
    )


def exercise() -> Parts:
    """A deviation from the basis."""
    yield Text(
        "In the middle of four nodes the root mean square is smaller than 10. How large is it, by "
        "B? (Independent numbers: the variance of a sum of c * V is the sum of c^2 times the "
        "variance of V.) And what is the field where all nine vectors are equal?"
    )


def answer() -> Parts:
    """The norm of a column of B, once for each axis."""
    column = BASIS[:, 1]
    share = float((column**2).sum())
    yield Text(
        "u = sum of B[i, p] B[j, q] V[i, j], so its variance is 100 times the sum of B[i, p]^2 "
        "B[j, q]^2, a product of one sum for each axis. Half way between nodes that is (19^2 + "
        f"16^2 + 3^2) / 32^2 = 626/1024 = {share:.3f}. On an edge, between two nodes, the root "
        f"mean square is 10 * sqrt({share:.3f}) = {SIGMA * share**0.5:.2f}, in the middle of four "
        f"10 * {share:.3f} = {SIGMA * share:.2f}. Of {FIELDS} fields:"
    )
    rms = root_mean_square(np.random.default_rng(4))
    yield Arrays({"rms,_every_quarter_of_the_tile": rms[::12, ::12]})
    expected = SIGMA * np.sqrt(np.outer((BASIS**2).sum(0), (BASIS**2).sum(0)))
    yield Check("measured and expected, relative", apart(rms[::12, ::12] / expected, 1), 0.06)
    same = displacement(np.full((3, 3), 5.0), SIDE)
    yield Text(
        "Equal vectors shift the tile as a whole: every column of B has the sum 1, so u is that "
        "vector everywhere."
    )
    yield Check("the field of nine vectors of 5, and 5", apart(same, 5.0), 1e-5)
