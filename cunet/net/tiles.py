"""Which input tiles fit a U-Net: the smallest, the usual one, those around a size that does not."""

from cunet.errors import CunetError
from cunet.net.receptive_field import context
from cunet.net.sizes import fits, lattice, output_size, shrinkage

LARGEST = 1 << 17  # pixels; at width 1 its first layer alone takes 69 GB


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
    if size > LARGEST:
        raise CunetError(f"tile: expected at most {LARGEST:,} pixels a side, found {size!r:.40}")
    if fits(size, depth, padding):
        return
    above = tile_for_output(size - shrinkage(depth, padding), depth, padding)
    below = above - lattice(depth)
    nearest = f"is {above}"
    if fits(below, depth, padding):
        nearest = f"sizes that do are {below} and {above}"
    of = f"{depth} levels" + (", same padding" if padding == "same" else "")
    raise CunetError(f"tile {size} does not fit this U-Net ({of}); the nearest {nearest}")


def usual_tile(depth: int, padding: str = "valid") -> int:
    """The input side that fits and is the paper's 572, or the next after it; with "same" padding
    large enough for several to cover an image."""
    least = 2 * context(depth) + lattice(depth) if padding == "same" else 0
    return max(tile_for_output(572 - shrinkage(4, padding), depth, padding), least)
