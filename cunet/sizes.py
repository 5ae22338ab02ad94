"""Size arithmetic of a U-Net of valid convolutions: what goes in, what comes out, what is seen.

Each level takes 4 pixels by its first two convolutions, halves, doubles what comes back from
below and takes 4 more. With depth 4 an input of 16 k + 60 pixels gives 16 k - 124: the output is
184 smaller, 92 on each side, and pixels repeat their role every 16.
"""

from cunet.errors import CunetError


def lattice(depth: int) -> int:
    """The period of the pooling grid: 2^depth input pixels (16 in the paper)."""
    return 2**depth


def shrinkage(depth: int) -> int:
    """Input size minus output size: 184 at depth 4."""
    return 4 if depth == 0 else 8 + 2 * shrinkage(depth - 1)


def margin(depth: int) -> int:
    """Pixels of context on each side of the output: 92 at depth 4."""
    return shrinkage(depth) // 2


def fits(size: int, depth: int) -> bool:
    """Whether a side of `size` pixels passes: every pooling meets an even side, output >= 1."""
    side = size
    for _ in range(depth):
        side -= 4
        if side < 2 or side % 2:
            return False
        side //= 2
    return side >= 5 and output_size(size, depth) >= 1


def output_size(size: int, depth: int) -> int:
    """The output side for an input side."""
    return size - shrinkage(depth)


def smallest_tile(depth: int) -> int:
    """The smallest valid input side: 188 at depth 4."""
    size = shrinkage(depth) + 1
    while not fits(size, depth):
        size += 1
    return size


def tile_for_output(pixels: int, depth: int) -> int:
    """The smallest valid input side whose output has at least `pixels` pixels."""
    least, step = smallest_tile(depth), lattice(depth)
    missing = pixels - output_size(least, depth)
    return least + max(0, -(-missing // step)) * step


def valid_tiles(depth: int, low: int, high: int) -> list[int]:
    """All valid input sides from low to high."""
    first = tile_for_output(low - shrinkage(depth), depth)
    return list(range(first, high + 1, lattice(depth)))


def check_tile(size: int, depth: int) -> None:
    """CunetError that names the nearest valid sizes where `size` is not one."""
    if fits(size, depth):
        return
    above = tile_for_output(size - shrinkage(depth), depth)
    below = above - lattice(depth)
    nearest = f"sizes that do are {below} and {above}" if fits(below, depth) else f"is {above}"
    raise CunetError(f"tile {size} does not fit this U-Net ({depth} levels); the nearest {nearest}")


def receptive_field(depth: int) -> list[int]:
    """How many input pixels along one axis an output pixel sees, for every phase on the pooling
    grid, sorted without repeats: [188, 204] for the paper's net."""
    seen = [_seen(phase, phase, depth) for phase in range(lattice(depth))]
    return sorted({high - low + 1 for low, high in seen})


def _seen(low: int, high: int, depth: int) -> tuple[int, int]:
    """The input pixels that the output pixels low ... high of a U-Net of this depth depend on."""
    if depth == 0:
        return low, high + 4
    high += 4  # the two convolutions of the expanding path
    crop = shrinkage(depth - 1)  # (skip side - up side) / 2, both at this level's resolution
    across = low + crop, high + crop
    below_low, below_high = _seen(low // 2, high // 2, depth - 1)
    down = 2 * below_low, 2 * below_high + 1
    return min(across[0], down[0]), max(across[1], down[1]) + 4
