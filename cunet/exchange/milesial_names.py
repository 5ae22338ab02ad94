"""The arrays of milesial's Pytorch-UNet by name, order and shape.

Names at depth 4, with double_conv.0 and .3 convolutions (K, C, 3, 3) and .1 and .4 the batch
normalizations behind them (K):

    inc.double_conv.{0,1,3,4}    down1 ... down4.maxpool_conv.1.double_conv.{0,1,3,4}
    up1 ... up4.up (C, K, 2, 2)    up1 ... up4.conv.double_conv.{0,1,3,4}    outc.conv (K, C, 1, 1)

It concatenates the skip first and the up-sampled second, cunet the other way round: the first
convolution of each expanding level has its input channels exchanged.
"""

import numpy as np

from cunet.net.array_shapes import parameter_shapes, statistic_shapes
from cunet.net.shape import Shape

FIRST, HEAD = "inc.double_conv.0.weight", "outc.conv"
NORMALIZATION = {"gamma": "weight", "beta": "bias", "mean": "running_mean",
                 "variance": "running_var"}  # fmt: skip


def names(shape: Shape) -> dict[str, str]:
    """Their name of every array of a network, by cunet's, in the order of the data."""
    found = {}
    for name in (*parameter_shapes(shape), *statistic_shapes(shape)):
        layer, _, what = name.rpartition(".")
        part, _, step = layer.partition(".")
        level, second = int("".join(filter(str.isdigit, part)) or 0), step == "conv2"
        if part == "head":
            place = HEAD
        elif step == "up":
            place = f"up{shape.depth - level}.up"
        else:
            block = f"down{level}.maxpool_conv.1" if level else "inc"
            if part.startswith("expand"):
                block = f"up{shape.depth - level}.conv"
            place = f"{block}.double_conv.{3 * second + (what in NORMALIZATION)}"
        plain = "weight" if what == "filters" else "bias"
        found[name] = f"{place}.{NORMALIZATION.get(what, plain)}"
    return found


def shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """The shape of every array as PyTorch has it, by cunet's name."""
    found = parameter_shapes(shape) | statistic_shapes(shape)
    for name, sides in found.items():
        if name.endswith(".filters"):
            r, s, c, k = sides
            found[name] = (c, k, r, s) if ".up." in name else (k, c, r, s)
    return found


def from_torch(name: str, value: np.ndarray) -> np.ndarray:
    """An array as cunet has it."""
    if not name.endswith(".filters"):
        return value
    return _exchanged(name, value.transpose((2, 3, 0, 1) if ".up." in name else (2, 3, 1, 0)))


def to_torch(name: str, value: np.ndarray) -> np.ndarray:
    """An array as PyTorch has it."""
    if not name.endswith(".filters"):
        return value
    value = _exchanged(name, value)
    return value.transpose((2, 3, 0, 1) if ".up." in name else (3, 2, 0, 1))


def _exchanged(name: str, filters: np.ndarray) -> np.ndarray:
    """Filters (R, S, C, K) behind a concatenation, the two halves of their C exchanged."""
    joined = name.startswith("expand") and ".conv1." in name
    return np.roll(filters, filters.shape[2] // 2, axis=2) if joined else filters
