"""Size arithmetic of a U-Net: what goes in and what comes out.

With valid convolutions a level loses 4 pixels in its first two convolutions, halves the size,
doubles what comes back from below and loses 4 more. With depth 4 an input of 16 k + 60 pixels gives
16 k - 124: the output is 184 smaller, 92 on each side, and pixels repeat their role every 16. With
"same" padding input and output are of one size, a multiple of 16.
"""

from cunet.errors import CunetError


def lattice(depth: int) -> int:
    """The period of the pooling grid: 2^depth input pixels (16 in the paper)."""
    return 2**depth


def shrinkage(depth: int, padding: str = "valid") -> int:
    """Input size minus output size: 184 at depth 4, 0 with "same" padding."""
    if padding == "same":
        return 0
    return 4 if depth == 0 else 8 + 2 * shrinkage(depth - 1)


def margin(depth: int, padding: str = "valid") -> int:
    """Pixels that the output lacks on each side of the input: 92 at depth 4, or 0."""
    return shrinkage(depth, padding) // 2


def fits(size: int, depth: int, padding: str = "valid") -> bool:
    """Whether a side of `size` pixels passes: every pooling meets an even side, output >= 1."""
    if padding == "same":
        return size >= lattice(depth) and size % lattice(depth) == 0
    side = size
    for _ in range(depth):
        side -= 4
        if side < 2 or side % 2:
            return False
        side //= 2
    return side >= 5 and output_size(size, depth) >= 1


def output_size(size: int, depth: int, padding: str = "valid") -> int:
    """The output side for an input side."""
    return size - shrinkage(depth, padding)


def smallest_tile(depth: int, padding: str = "valid") -> int:
    """The smallest input side that fits: 188 at depth 4, 16 with "same" padding."""
    size = shrinkage(depth, padding) + 1
    while not fits(size, depth, padding):
        size += 1
    return size


def tile_for_output(pixels: int, depth: int, padding: str = "valid") -> int:
    """The smallest input side that fits and whose output has at least `pixels` pixels."""
    least, step = smallest_tile(depth, padding), lattice(depth)
    missing = pixels - output_size(least, depth, padding)
    return least + max(0, -(-missing // step)) * step


def valid_tiles(depth: int, low: int, high: int, padding: str = "valid") -> list[int]:
    """All input sides from low to high that fit."""
    first = tile_for_output(low - shrinkage(depth, padding), depth, padding)
    return list(range(first, high + 1, lattice(depth)))


def check_tile(size: int, depth: int, padding: str = "valid") -> None:
    """CunetError that names the nearest sizes that fit where `size` does not."""
    if fits(size, depth, padding):
        return
    above = tile_for_output(size - shrinkage(depth, padding), depth, padding)
    below = above - lattice(depth)
    nearest = f"is {above}"
    if fits(below, depth, padding):
        nearest = f"sizes that do are {below} and {above}"
    of = f"{depth} levels" + (", same padding" if padding == "same" else "")
    raise CunetError(f"tile {size} does not fit this U-Net ({of}); the nearest {nearest}")
