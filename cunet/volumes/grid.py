"""How a volume (Z, Y, X) is cut into blocks: the units of work, of which each is written by one.

Tiles are the unit of arithmetic: they start at multiples of a step from pixel (0, 0), whatever the
blocks are, so that no result depends on them. A block holds whole tiles, which are then computed
once, and whole shards (files) of the output, so that no two writers share one.
"""

from dataclasses import dataclass
from math import prod

from cunet.errors import CunetError
from cunet.net.shape import Shape
from cunet.net.sizes import lattice, output_size
from cunet.net.tiles import check_tile, tile_for_output, usual_tile

Index = tuple[int, int, int]
CHUNK = 512  # pixels a side of what viewers read at once, and of what a tile gives by default
SIDE = 1024  # pixels a side of a block, about
MOST_BYTES = 64 << 20  # of the products of a block, while its size is our choice
THICKEST = 64  # sections of a block, while its size is our choice


@dataclass(frozen=True)
class Grid:
    """A volume of `shape` in blocks of `block`, both (Z, Y, X); the last blocks are smaller."""

    shape: Index
    block: Index

    @property
    def counts(self) -> Index:
        """How many blocks there are along z, y and x."""
        z, y, x = (-(-n // b) for n, b in zip(self.shape, self.block, strict=True))
        return z, y, x

    def __len__(self) -> int:
        return prod(self.counts)

    def index(self, number: int) -> Index:
        """The place of a block along z, y and x; x is fastest."""
        _, down, across = self.counts
        rest, x = divmod(number, across)
        z, y = divmod(rest, down)
        return z, y, x

    def region(self, number: int, grown: Index = (0, 0, 0)) -> tuple[slice, slice, slice]:
        """What a block covers; grown: by so many voxels beyond its far sides, within the volume."""
        z, y, x = (
            slice(i * b, min(n, (i + 1) * b + more))
            for i, b, n, more in zip(self.index(number), self.block, self.shape, grown, strict=True)
        )
        return z, y, x


def tile_of_volume(tile: int | None, shape: Shape) -> int:
    """The tile asked for; else one that gives CHUNK pixels, the size that viewers like: 700 for
    the paper's depth. With "same" padding the usual one."""
    if tile is None:
        if shape.padding == "same":
            return usual_tile(shape.depth, shape.padding)
        return tile_for_output(max(CHUNK, lattice(shape.depth)), shape.depth)
    check_tile(tile, shape.depth, shape.padding)
    return tile


def step_of(tile: int, shape: Shape) -> int:
    """Pixels from one tile to the next: what a block's rows and columns should be multiples of. A
    net with "same" padding has no such step, its tiles lie otherwise: then CHUNK."""
    if shape.padding == "same":
        return CHUNK
    step = output_size(tile, shape.depth)
    return step - step % lattice(shape.depth)


def chunk_of(volume: Index, step: int) -> Index:
    """What is compressed as one piece: a part of one section, of CHUNK pixels a side if that
    divides the step between tiles, else of one step."""
    side = CHUNK if step % CHUNK == 0 else step
    return 1, min(side, volume[1]), min(side, volume[2])


def block_of(
    wanted: Index | None, volume: Index, step: int, bytes_a_voxel: int, thickness: int
) -> Index:
    """The block asked for, if it is one of whole tiles and chunks; else one of about SIDE pixels a
    side, as thick as the pieces in which the input is stored (`thickness`), of at most MOST_BYTES.

    CunetError for a block that does not fit, which names the nearest that do.
    """
    if wanted is None:
        side = max(step, SIDE // step * step)
        most = max(1, MOST_BYTES // (bytes_a_voxel * side * side))
        return fitted((min(thickness, THICKEST, most), side, side), volume)
    if len(wanted) != 3 or min(wanted) < 1:
        raise CunetError(f"--block: expected Z,Y,X, each from 1 up, found {list(wanted)}")
    for name, side, whole in zip("YX", wanted[1:], volume[1:], strict=True):
        if side % step and side < whole:
            low, high = side // step * step, -(-side // step) * step
            near = f"{low} or {high}" if low else f"{high}"
            raise CunetError(
                f"--block: {name} must be a multiple of {step}, the pixels from one tile to the "
                f"next, found {side}; give {near}"
            )
    return fitted(wanted, volume)


def fitted(block: Index, volume: Index) -> Index:
    """No larger than the volume."""
    z, y, x = (min(b, n) for b, n in zip(block, volume, strict=True))
    return z, y, x
