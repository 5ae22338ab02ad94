"""The layers of a U-Net, level by level, as its shape says."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from cunet.net.layers import Conv, Dropout, Maker, Pool, UpConv
from cunet.net.normed import BareConv, BatchNorm
from cunet.net.shape import Shape


class Level(NamedTuple):
    """The layers of one resolution; the bottom only contracts."""

    contract: list[Any]
    pool: Pool | None = None
    up: UpConv | None = None
    expand: Sequence[Any] = ()


def make_levels(shape: Shape, make: Maker) -> list[Level]:
    """All levels, the uppermost first; their filters are drawn in the order of the data."""

    def conv(name: str, inputs: int, outputs: int) -> list:
        if not shape.batch_norm:
            return [Conv(name, 3, inputs, outputs, make, padding=shape.padding)]
        bare = BareConv(name, inputs, outputs, make, shape.padding)
        return [bare, BatchNorm(name, outputs, make)]

    def pair(name: str, inputs: int, outputs: int) -> list:
        first = conv(f"{name}.conv1", inputs, outputs)
        return first + conv(f"{name}.conv2", outputs, outputs)

    depth, width = shape.depth, shape.width
    channels = [shape.in_channels, *(width << i for i in range(depth + 1))]  # [i + 1]: of level i
    contract = [pair(f"contract{i}", *channels[i : i + 2]) for i in range(depth + 1)]
    contract[depth - 1].append(Dropout(shape.dropout, make))
    contract[depth].append(Dropout(shape.dropout, make))
    levels = [Level(contract[depth])]
    for i in reversed(range(depth)):
        here, below = channels[i + 1 : i + 3]
        up_channels = below if shape.release and i == 0 else here
        up = UpConv(f"expand{i}.up", below, up_channels, make, relu=shape.release)
        expand = pair(f"expand{i}", up_channels + here, here)
        levels.insert(0, Level(contract[i], Pool(make), up, expand))
    return levels
