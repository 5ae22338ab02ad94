"""Size arithmetic of a U-Net: what goes in and what comes out.

With valid convolutions a level loses 4 pixels in its first two convolutions and 4 in its last two;
what the levels below lose counts double, since one pixel there is two here: S(0) = 4 at the bottom,
S(d) = 8 + 2 S(d - 1), that is 4, 16, 40, 88, 184, or 92 on each side at depth 4. Every pooling must
meet an even side, so inputs are 2^d k + 4 + 8 + ... + 2^(d + 1), what is cut before each pooling:
16 k + 60 at depth 4. With "same" padding input and output are of one size, a multiple of 2^d.
"""


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
    return output_size(size, depth) >= 1


def output_size(size: int, depth: int, padding: str = "valid") -> int:
    """The output side for an input side."""
    return size - shrinkage(depth, padding)
