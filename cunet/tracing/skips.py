"""What each skip contributes: the output of the network with that skip silenced.

A skip's channels are the last ones of what expand{i}.conv1 takes. With its filters for these set to
0 the convolution sums over the up-sampled channels alone, and everything else is as before: biases,
and of a network with batch normalization the running means, which expect the sums with the skip.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cunet.backend import Array, to_host
from cunet.net.checkpoint import copy_of
from cunet.net.unet import UNet


@dataclass(frozen=True)
class Skip:
    """The skip of one level silenced.

    probability  (P, Q, K) of the pixels that lie in the image
    pixels       how many there are; changed: how many of them become another class
    change       the mean over them of half the sum of |change| of all probabilities, which for two
                 classes is the change of either
    """

    level: int
    probability: np.ndarray
    pixels: int
    changed: int
    change: float


def silenced(
    net: UNet, x: Array, inside: tuple[slice, slice], levels: range | None = None
) -> Iterator[Skip]:
    """Every level's skip silenced in turn, on the tile x (1, H, W, C), a normalised one; inside:
    the output pixels that lie in the image."""
    copy = copy_of(net)
    with_all = _probability(copy, x, inside)
    for i in range(net.shape.depth) if levels is None else levels:
        up: Any = copy.levels[i].up
        first = copy.levels[i].expand[0]
        filters = first.w.value.copy()
        first.w.value[:, :, up.w.value.shape[3] :] = 0
        found = _probability(copy, x, inside)
        first.w.value[...] = filters
        change = np.abs(found - with_all).sum(2, dtype="float64").mean() / 2
        changed = int((found.argmax(2) != with_all.argmax(2)).sum())
        yield Skip(i, found, with_all[..., 0].size, changed, float(change))


def _probability(net: UNet, x: Array, inside: tuple[slice, slice]) -> np.ndarray:
    """(P, Q, K)"""
    found: np.ndarray = to_host(net.probability(net(x, remember=False)))[0][inside]
    return found
