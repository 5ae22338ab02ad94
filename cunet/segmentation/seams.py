"""Whether tiles leave seams: an image segmented tile by tile against one tile around all of it.

With tiles every 384 pixels (tiling.py) the two are the same but for rounding. The paper's tiles
stand every 388 pixels, which is no multiple of 2^depth: every second tile meets the pooling grid in
another phase, and its pixels come out differently. H W: height and width of what is compared, C its
channels, K the classes.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cunet.checks import arguments, between, instance, one_image, whole
from cunet.data.values import check_values
from cunet.errors import CunetError
from cunet.net.checkpoint import copy_of
from cunet.net.sizes import lattice, output_size
from cunet.net.tiles import tile_for_output
from cunet.net.unet import UNet
from cunet.segmentation.one_image import image_of_channels
from cunet.segmentation.seams_part import fitting_tile, largest_side
from cunet.segmentation.segment import NETS, cover_of
from cunet.segmentation.tiling import Cover
from cunet.segmentation.window import Applied, Window

# What rounding can make of a probability. Tiles form the sums of the whole, in an order that only
# the size of a tile decides. A float32 sum of n products is off by about sqrt(n) times 6e-8 of its
# terms; the paper's net has 23 layers of up to 9 x 1,024 products, so that a logit is off by some
# 23 x 96 x 6e-8 = 1.3e-4, and a probability changes by at most a quarter of what the difference of
# two logits does. On tensor cores a number may be rounded to 10 (bfloat16: 7) bits on the other
# side, which is a thousand times (eight thousand times) as coarse.
LIMITS = {"float64": 1e-10, "float32": 1e-4, "tf32": 1e-2, "float16": 1e-2, "bfloat16": 8e-2}
SHRUNK = 1e-6  # float64 has 2e-9 of the rounding of float32, but all of a seam


@dataclass(frozen=True)
class Edge:
    """An edge between tiles, before row or column `at`.

    jump, whole  the mean difference of the probabilities on its two sides, tile by tile and in the
                 whole
    usual        the same between neighbours that lie in one tile, tile by tile
    """

    axis: str  # "row" or "column"
    at: int
    jump: float
    whole: float
    usual: float


@dataclass(frozen=True)
class Compared:
    """One way to tile against the whole. Rows and columns are counted in the image.

    difference (H, W) is that of the probabilities, the largest of all classes; `largest` is found
    at (row, column).
    """

    stride: int
    tiles: tuple[int, int]  # down and across
    difference: np.ndarray = field(repr=False)
    largest: float
    row: int
    column: int
    mean: float
    edges: tuple[Edge, ...] = field(repr=False)

    def document(self) -> dict[str, Any]:
        """The same for a JSON file, without the differences of single pixels."""
        found = {name: value for name, value in vars(self).items() if name != "difference"}
        return found | {"edges": [vars(edge) for edge in self.edges]}


@dataclass(frozen=True)
class Seams:
    """What tiles make of an image; `cunet.seams` returns it.

    image   (H, W, C) what was compared, whose first pixel is (top, left) of the image given
    tile    side of the tiles in pixels
    limit   the largest difference that is rounding
    exact   tiles every multiple of 2^depth pixels, as `cunet.segment` takes them
    paper   tiles as far apart as their outputs are wide, as in 2015; None where there is no such
            thing, for the reason `no_paper`
    float64 the largest difference of the exact tiles, computed in float64, where that of the
            net's precision is above its usual limit; None elsewhere
    notes   what was decided, a sentence each
    """

    image: np.ndarray = field(repr=False)
    top: int
    left: int
    tile: int
    limit: float
    exact: Compared
    paper: Compared | None
    no_paper: str
    notes: tuple[str, ...]
    float64: float | None = None

    @property
    def is_rounding(self) -> bool:
        """Whether a difference above the usual limit is next to none in float64."""
        return self.float64 is not None and self.float64 <= SHRUNK * self.exact.largest

    @property
    def passed(self) -> bool:
        """Whether the exact tiles give the whole, but for rounding."""
        return self.exact.largest <= self.limit  # NaN is above every limit

    def save(self, path: str | Path) -> None:
        """Write a PNG with the image and the differences, replacing a file of that name."""
        from cunet.pictures.seams import seams_picture

        ways = [way for way in (self.exact, self.paper) if way is not None]
        seams_picture(self.image, (self.top, self.left), ways, self.tile, path)

    def document(self) -> dict[str, Any]:
        """The numbers for a JSON file."""
        found: dict[str, Any] = {"height": len(self.image), "width": self.image.shape[1]}
        for name in ("top", "left", "tile", "limit", "passed", "float64", "no_paper"):
            found[name] = getattr(self, name)
        found["exact"] = self.exact.document()
        found["paper"] = None if self.paper is None else self.paper.document()
        return found


@arguments(image=one_image, net=instance(UNet, NETS), tile=whole, limit=between(0, 1))
def seams(
    image: np.ndarray, net: UNet, tile: int | None = None, limit: float | None = None
) -> Seams:
    """Segment an image (H, W) or (H, W, C) tile by tile and in one tile around it, and compare.

    tile: side of the tiles in pixels; by default, and where one would cover all of the image, the
    largest up to the usual one with which the image needs several. limit: the largest difference
    of a probability that counts as rounding; by default what the net's precision allows (1e-4 in
    float32), or more where float64 shows that it is rounding. Of an image more than 1,000 pixels
    wide, or for which the memory does not suffice, the middle is compared, as an image of its own.

    The result has the numbers of the exact tiles and of the paper's: the largest difference and
    where it is, the mean, and the jump across every edge between tiles; `passed` says whether the
    exact tiles leave no seam, and `save("seams.png")` draws it. Raises CunetError for an image that
    is too small for two tiles, and for a network that scales images to one tile; else as `segment`.

        found = cunet.seams(image, cunet.load("em"))
        print(found.exact.largest, found.paper.largest)
    """
    if net.resize is not None:
        raise CunetError(
            f"this network scales every image to {net.resize} x {net.resize} pixels and segments "
            "it in one tile: there are no edges between tiles to look at"
        )
    image, notes = image_of_channels(image, net.shape.in_channels), list[str]()
    height, width = image.shape[:2]
    check_values(image, "image", 0)
    normalization = net.normalization.fitted(lambda r0, r1: image[r0:r1], height)
    most = largest_side(net, max(height, width))
    sides = min(height, most), min(width, most)
    top, left = (height - sides[0]) // 2, (width - sides[1]) // 2
    part = image[top : top + sides[0], left : left + sides[1]]
    if sides != (height, width):
        notes.append(
            f"the middle {sides[0]} x {sides[1]} of {height} x {width} pixels are compared, from "
            f"row {top} and column {left} on, as an image of its own: one tile is put around it"
        )
    tile, said = fitting_tile(sides, net.shape, tile)
    notes.append(said)

    def probabilities(tile: int, stride: str, net: UNet = net) -> tuple[Cover, np.ndarray]:
        cover = cover_of(*sides, net, tile, stride)
        window = Window(cover, (0, sides[0]), (0, sides[1]))
        return cover, window.probabilities(part[_needed(window)], Applied(net, normalization))[0]

    depth, padding = net.shape.depth, net.shape.padding
    around = tile_for_output(max(sides), depth, padding)
    _, reference = probabilities(around, "exact")
    exact = _compared(*probabilities(tile, "exact"), reference, (top, left))
    paper, why, float64, usual = None, "", None, LIMITS[net.precision]
    if exact.largest > usual and net.dtype != "float64":  # large logits have large rounding
        fine = copy_of(net, dtype="float64")
        pair = [probabilities(side, "exact", fine)[1] for side in (tile, around)]
        float64 = float(np.abs(pair[0] - pair[1]).max())
    if padding == "same":
        why = "a net with same padding gives its whole tile: the paper's stride is not for it"
    elif output_size(tile, depth) % lattice(depth) == 0:
        why = (
            f"the paper's stride, {output_size(tile, depth)}, is a multiple of {lattice(depth)} "
            f"at depth {depth}: it is exact as well"
        )
    else:
        paper = _compared(*probabilities(tile, "paper"), reference, (top, left))
    found = Seams(part, top, left, tile, usual, exact, paper, why, tuple(notes), float64)
    if limit is not None:
        return replace(found, limit=limit)
    if not found.is_rounding:
        return found
    notes.append(
        f"the difference of {exact.largest:.1e} is above the usual limit, {usual:g}, but rounding: "
        f"in float64 it is {float64:.1e}; logits are large here, as on an image that is scaled "
        "unlike those of the training"
    )
    return replace(found, limit=exact.largest, notes=tuple(notes))


def _needed(window: Window) -> tuple[slice, slice]:
    first, last, left, right = window.needs
    return slice(first, last), slice(left, right)


def _compared(
    cover: Cover, found: np.ndarray, reference: np.ndarray, origin: tuple[int, int]
) -> Compared:
    """Probabilities (H, W, K) of tiles against those of the whole."""
    difference = np.abs(found - reference).max(axis=2)
    place = np.unravel_index(int(difference.argmax()), difference.shape)
    edges: list[Edge] = []
    for axis, one in enumerate((cover.down, cover.across)):
        places = np.array(one.starts[1:], int)
        tiled, whole = (
            np.abs(np.diff(p, axis=axis)).max(axis=2).mean(axis=1 - axis)
            for p in (found, reference)
        )
        usual = float(np.delete(tiled, places - 1).mean()) if len(tiled) > len(places) else 0.0
        edges += [
            Edge(("row", "column")[axis], int(at) + origin[axis], float(tiled[at - 1]),
                 float(whole[at - 1]), usual)
            for at in places
        ]  # fmt: skip
    steps = [p.inputs[1] - p.inputs[0] for p in (cover.down, cover.across) if len(p.inputs) > 1]
    return Compared(
        stride=min(steps),
        tiles=(len(cover.down.starts), len(cover.across.starts)),
        difference=difference,
        largest=float(difference.max()),
        row=int(place[0]) + origin[0],
        column=int(place[1]) + origin[1],
        mean=float(difference.mean()),
        edges=tuple(edges),
    )
