"""What `seams` compares: how much of an image one tile fits around, and which tiles cover that."""

from cunet.errors import CunetError, DeviceError
from cunet.net.memory import CERTAIN, explain, room, task_of
from cunet.net.receptive_field import context
from cunet.net.shape import Shape
from cunet.net.sizes import lattice, output_size
from cunet.net.tiles import tile_for_output, usual_tile, valid_tiles
from cunet.net.unet import UNet
from cunet.segmentation.tiling import plan

MAX_SIDE = 1000  # pixels of what one tile is put around
NEAR_BORDER = 0.75  # of a side: a first edge beyond it would leave little on its other side


def largest_side(net: UNet, wanted: int) -> int:
    """The longest side, up to `wanted` and MAX_SIDE, around which a tile has room in memory."""
    depth, padding, wanted = net.shape.depth, net.shape.padding, min(wanted, MAX_SIDE)
    task = task_of(net, tile_for_output(wanted, depth, padding), 1, training=False)
    free = room(net)
    if free is None or task.needed() <= CERTAIN * free:
        return wanted
    tile = task.fitting("tile", task.tiles(), CERTAIN * free)
    if tile is None:
        raise DeviceError(explain(MemoryError(), task, free, net.device))
    return output_size(tile, depth, padding)


def fitting_tile(sides: tuple[int, int], shape: Shape, given: int | None) -> tuple[int, str]:
    """The tile to take, given or the largest with which an image of these sides needs several, and
    a sentence on it."""
    depth, padding = shape.depth, shape.padding

    def starts(tile: int) -> list[float]:
        """How far along each side that has an inner edge the first of them lies, from 0 to 1."""
        plans = [plan(side, depth, tile, padding=padding) for side in sides]
        return [p.starts[1] / side for p, side in zip(plans, sides, strict=True) if p.starts[1:]]

    if given is not None and starts(given):
        return given, f"tile {given}, as asked"
    least = tile_for_output(lattice(depth), depth, padding)
    least += 2 * context(depth) if padding == "same" else 0
    fitting = valid_tiles(depth, least, usual_tile(depth, padding), padding)[::-1]
    size = f"{sides[0]} x {sides[1]} pixels"
    for edges in (2, 1):  # on both sides, else on one
        for tile in fitting:
            found = starts(tile)
            if len(found) >= edges and min(found) <= NEAR_BORDER:
                why = f"the largest with which {size} need several"
                if given is not None:
                    why += f"; with tile {given} there would be one, and nothing to compare"
                return tile, f"tile {tile}, {why}"
    raise CunetError(
        f"image of {size}: the smallest tile of this network that has neighbours, {least}, covers "
        "all of it, so that there is nothing to compare; give a larger image"
    )
