"""What an output pixel of a U-Net sees of the input."""

from cunet.net.sizes import lattice, shrinkage


def receptive_field(depth: int) -> list[int]:
    """How many input pixels along one axis an output pixel sees, for every phase on the pooling
    grid, sorted without repeats: [188, 204] for the paper's net. Padding does not change it."""
    seen = [interval(phase, depth) for phase in range(lattice(depth))]
    return sorted({high - low + 1 for low, high in seen})


def interval(pixel: int, depth: int, padding: str = "valid") -> tuple[int, int]:
    """The first and the last input pixel, along one axis of a tile, that an output pixel can depend
    on; both are counted from the first pixel of their array. With "same" padding they may lie
    outside the tile, where there are zeros. Where a pixel lies on the pooling grid decides whether
    it sees 188 or 204 of them, and how many before and behind itself."""
    return _seen(pixel, pixel, depth, padding)


def _seen(low: int, high: int, depth: int, padding: str) -> tuple[int, int]:
    """The input pixels that the output pixels low ... high of a U-Net of this depth depend on."""
    before, after = (2, 2) if padding == "same" else (0, 4)  # what two convolutions see besides
    low, high = low - before, high + after
    if depth == 0:
        return low, high
    crop = shrinkage(depth - 1, padding)  # (skip side - up side) / 2, at this level's resolution
    across = low + crop, high + crop
    below_low, below_high = _seen(low // 2, high // 2, depth - 1, padding)
    down = 2 * below_low, 2 * below_high + 1
    return min(across[0], down[0]) - before, max(across[1], down[1]) + after


def context(depth: int) -> int:
    """The pixels that an output pixel of a net with "same" padding sees to each side at most, up
    to the next multiple of 2^depth: 112 at depth 4. Pixels at least this far from a tile's edge do
    not depend on it."""
    reach = 0
    for phase in range(lattice(depth)):
        low, high = interval(phase, depth, "same")
        reach = max(reach, phase - low, high - phase)
    return -(-reach // lattice(depth)) * lattice(depth)
