"""Lesson: the overlap-tile strategy - an image of any size, and no seam."""

import numpy as np

from cunet.data.mirror import reflect
from cunet.data.synthetic import membranes
from cunet.lessons.parts import (
    Arrays,
    Block,
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
from cunet.net.sizes import lattice, margin, output_size, shrinkage
from cunet.net.tiles import tile_for_output
from cunet.net.unet import UNet
from cunet.ops import max_pool
from cunet.segmentation.segment import segment
from cunet.segmentation.tiling import plan

READ = ("cunet/segmentation/tiling.py", "cunet/net/sizes.py")

HEIGHT, WIDTH, TILE, DEPTH = 100, 500, 572, 4
ROW = np.array([3, 1, 4, 1, 5, 9, 2, 6], float)
SHOWN = range(376, 424)  # the pixels under which the pooling grid is drawn
PIXEL = 395
NAMES = {"exact": 384, "paper": 388}


def pooled(row: np.ndarray) -> np.ndarray:
    """The smallest network of depth 1: the maxima of pairs, and each of them again twice."""
    maxima = max_pool.forward(np.stack([row, row])[None, :, :, None])[0, 0, :, 0]
    return np.repeat(maxima, 2)


def first_block(start: int) -> int:
    """The first pixel of the image that the bottom of a tile sees as a whole block of 16."""
    return start - margin(DEPTH) + sum(2 * lattice(level) for level in range(DEPTH))


def block_of(pixel: int, start: int) -> tuple[int, int]:
    """The first and the last pixel of the block that a pixel pools with in this tile."""
    first = pixel - (pixel - first_block(start)) % lattice(DEPTH)
    return first, first + lattice(DEPTH) - 1


def lasts(start: int) -> np.ndarray:
    """The last pixel of every block of a tile, found by the operations: the values of pixels are
    their numbers, which two convolutions would crop, and maxima are taken."""
    numbers = np.arange(start - margin(DEPTH), start - margin(DEPTH) + TILE, dtype=float)
    image = np.tile(numbers, (TILE, 1))[None, :, :, None]
    for _ in range(DEPTH):
        image = max_pool.forward(image[:, 2:-2, 2:-2])
    return image[0, 0, :, 0]


def drawn(start: int) -> str:
    """The pooling grid of a tile under the shown pixels; | is the first pixel of a block."""
    return "".join("|" if block_of(pixel, start)[0] == pixel else "-" for pixel in SHOWN)


def grid() -> str:
    """A ruler, and the grids of three tiles below it."""
    numbers = "".join(f"{pixel:<10}" for pixel in SHOWN if pixel % 10 == 0)
    before = -SHOWN.start % 10
    ticks = "".join("'" if pixel % 10 == 0 else " " for pixel in SHOWN).rstrip()
    lines = [f"{'pixel':14}{' ' * before}{numbers.rstrip()}", f"{'':14}{ticks}"]
    lines += [f"tile at {start:<6}{drawn(start)}" for start in (0, 384, 388)]
    return "\n".join(lines)


def differences() -> dict[str, np.ndarray]:
    """How far the probability of the tiled image is from that of one large tile, by stride."""
    net = UNet(width=4, depth=DEPTH, seed=1)  # untrained: seams do not wait for training
    image = membranes(1, HEIGHT, WIDTH, seed=0)[0][0]
    image = (image - image.mean()) / image.std()
    whole = segment(image, net, tile=tile_for_output(WIDTH, DEPTH))[..., 1]
    return {
        stride: np.abs(segment(image, net, TILE, stride=stride)[..., 1] - whole) for stride in NAMES
    }


def lesson() -> Parts:
    """Tiles, a row by hand, the lattice, and the seams of a net."""
    yield Heading("The formula")
    yield Text(
        "A network of valid convolutions takes a tile of 572 pixels and returns the middle 388: it "
        "loses a margin of 92 on each side (lesson unet). A larger image is covered with tiles "
        "whose outputs meet; their inputs overlap by the margins. Where a tile reaches beyond the "
        "image, the image is mirrored there, without its border pixel. Five pixels, and four more "
        f"on each side: {' '.join(map(str, reflect(-4, 13, 5)))}."
    )
    yield Text(
        "How far apart are the tiles, what is their stride? As far as their outputs are wide, says "
        "the paper: 388. This lesson is about why that is not quite right, and why this package "
        "takes less:"
    )
    yield Formula(
        "stride = output - output mod 2^depth  =  388 - 388 mod 16  =  388 - 4  =  384",
        r"\text{stride} = o - (o \bmod 2^d) = 388 - (388 \bmod 16) = 388 - 4 = 384",
    )

    yield Heading("By hand: a row of eight pixels")
    yield Text(
        "The smallest net that shows it has one pooling (depth 1) and nothing else: it takes the "
        "larger of every two pixels and, on the way up, writes it twice. The whole row at once, "
        "and the part from pixel 2 on, which is a tile that starts at an even pixel:"
    )
    yield Arrays({"x": ROW, "whole": pooled(ROW)})
    yield Arrays({"x_from_pixel_2": ROW[2:], "tile_at_2": pooled(ROW[2:])})
    yield Text(
        "From pixel 2 on they agree: 4 4 9 9 6 6. A tile that starts at pixel 3 sees other pairs, "
        f"({ROW[3]:g} {ROW[4]:g}) and ({ROW[5]:g} {ROW[6]:g}) instead of ({ROW[2]:g} {ROW[3]:g}), "
        f"({ROW[4]:g} {ROW[5]:g}) and ({ROW[6]:g} {ROW[7]:g}):"
    )
    odd = pooled(ROW[3:7])
    yield Arrays({"pixel": np.arange(3, 7), "whole": pooled(ROW)[3:7], "tile_at_3": odd})
    yield Text(
        f"Pixel 4 is max(5, 9) = {pooled(ROW)[4]:g} in one and max(1, 5) = {odd[1]:g} in the "
        "other. No pixel is missing and none is at the border: it is only pooled with another "
        "neighbour. After one pooling the grid has the period 2, and a tile's start matters modulo "
        "2."
    )
    yield Check("whole row and the tile at 2", apart(pooled(ROW)[2:], pooled(ROW[2:])), 0)

    yield Heading("The lattice of the paper's network")
    yield Text(
        "Four poolings make a grid of period 16: a number at the bottom of the U is made of a "
        "block of 16x16 pixels (and, through convolutions, of some around it). Before each pooling "
        "two convolutions take 2 pixels off each side, which are 2, 4, 8 and 16 pixels of the "
        "image, 30 together. So a tile whose first output pixel is s, and whose input begins at "
        "s - 92, has its blocks at s - 92 + 30 = s - 62, and every 16 pixels from there. Under the "
        "axis of an image (a | is the first pixel of a block):"
    )
    yield Block(grid())
    (here, here_last), (there, there_last) = block_of(PIXEL, 384), block_of(PIXEL, 388)
    yield Text(
        f"Tiles that start at 0 and at 384 cut the image alike: 384 is 24 * 16. For pixel {PIXEL} "
        f"both take the block {here} ... {here_last}. In a tile that starts at 388 the grid is "
        f"shifted by 388 mod 16 = 4, and the same pixel is pooled with {there} ... {there_last}. "
        "So it gets another probability in one tile than in the other. Which of the four poolings "
        "disagree?"
    )
    yield Table(
        ("pooling", "period", "384 mod period", "388 mod period"),
        [
            (str(level), *map(str, (2**level, 384 % 2**level, 388 % 2**level)))
            for level in range(1, DEPTH + 1)
        ],
    )
    yield Text(
        "The first two pool the same pixels either way, the third and the fourth do not. Check the "
        "blocks by the operations themselves: give every pixel its own number as its value, cut 2 "
        "pixels off each side as two convolutions do, take maxima, four times. What comes out is "
        "the last pixel of each block:"
    )
    for start in (384, 388):
        found = lasts(start)
        expected = first_block(start) + 15 + lattice(DEPTH) * np.arange(len(found))
        yield Check(f"last pixels of the blocks, tile at {start}", apart(found, expected), 0)
    yield Lines(
        "cunet.segmentation.tiling:plan",
        [
            ("step = output_size(tile, depth)", "388 for a tile of 572: the paper's stride"),
            ("step -= step % lattice(depth)", "384, unless `--stride paper` was asked for"),
            (
                "return Plan(tile, starts, [start - margin(depth) for start in starts])",
                "each tile's input begins a margin before its output",
            ),
        ],
    )

    yield Heading("Seams")
    largest = tile_for_output(WIDTH, DEPTH)
    yield Text(
        f"An image of {HEIGHT}x{WIDTH} pixels and a U-Net with random weights. What would be right "
        f"is known: one tile of {largest} pixels around the whole row. How far is the result of "
        "two tiles from it, at most?"
    )
    far, rows = differences(), []
    for stride, name in NAMES.items():
        starts = plan(WIDTH, DEPTH, TILE, stride).starts
        parts = np.split(far[stride], [starts[1]], axis=1)
        phases = str([start % lattice(DEPTH) for start in starts])
        rows.append((f"stride {name}", phases, *(f"{part.max():.1e}" for part in parts)))
    yield Table(("", "starts mod 16", "in the first tile", "in the second"), rows)
    yield Text("Where it differs with stride 388 (every sixth pixel; black is 0.2 or more):")
    yield Picture({"difference": far["paper"][3::6, 3::6]}, 0, 0.2)
    yield Text(
        "Only the tile that starts at 0 is right; where the next begins there is a seam. With 384 "
        "both differ by rounding at most: the image may be cut into any number of tiles, and the "
        "result does not show it. (How large a seam is depends on the network.)"
    )
    yield Check("stride 384 and one large tile", float(far["exact"].max()), 1e-5)


def exercise() -> Parts:
    """Other depths."""
    yield Text(
        "U-Nets with three and with two poolings lose 88 and 40 pixels of a tile. Which strides "
        f"are right for them with a tile of {TILE}, and in which of the two would the paper's "
        "rule, stride = output, leave a seam?"
    )


def answer() -> Parts:
    """480 and 532."""
    rows = []
    for depth in (3, 2):
        output, period = output_size(TILE, depth), lattice(depth)
        step = plan(2 * TILE, depth, TILE).starts[1]
        rows.append(
            (str(depth), f"{TILE} - {shrinkage(depth)} = {output}", str(period),
             str(output % period), str(step))
        )  # fmt: skip
    yield Table(("depth", "output", "period", "output mod period", "stride"), rows)
    yield Text(
        "With three poolings the period is 8, and 484 would shift every second tile's grid by 4. "
        "With two it is 4, and 532 is a multiple of it: there the rule leaves no seam."
    )
