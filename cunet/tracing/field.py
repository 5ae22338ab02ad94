"""The receptive field of one output pixel: by formula, and measured by a gradient.

The logit a of one pixel is a function of the input x, and da/dx is what backward returns for a
dlogits of 1 at that logit and 0 elsewhere. Where da/dx is 0 the pixel does not see the input, at
least not in a neighbourhood of this x; how large it is where it is not 0, is the effective
receptive field. Computed in float64, since a product of twenty small weights may be no float32, and
by the definitions, whose zeros are exact: Winograd's algorithm rounds them.
"""

from dataclasses import dataclass

import numpy as np

from cunet.backend import array_module, to_host
from cunet.engines import definition
from cunet.net.checkpoint import copy_of
from cunet.net.receptive_field import context, interval
from cunet.net.shape import Shape
from cunet.net.sizes import lattice, margin
from cunet.net.tiles import tile_for_output
from cunet.net.unet import UNet

Span = tuple[int, int]  # the first and the last pixel


@dataclass(frozen=True)
class Field:
    """What the output pixel sees; rows and columns of the tile.

    formula    (rows, columns) that the arithmetic of the layers allows, within the tile
    measured   (rows, columns) where the gradient is not 0; None where it is 0 everywhere
    cut        whether the tile ends before the field does (only with "same" padding)
    magnitude  |da/dx|, summed over the channels, of the formula's box
    logit      whose gradient it is: the class (0 of a sigmoid)
    pixel      where the output pixel lies among the input pixels of the tile
    """

    formula: tuple[Span, Span]
    measured: tuple[Span, Span] | None
    cut: bool
    magnitude: np.ndarray
    logit: int
    pixel: tuple[int, int]

    @property
    def zeros(self) -> int:
        """Pixels of the formula's box without a gradient."""
        return int((self.magnitude == 0).sum())

    def within(self, share: float) -> int | None:
        """The side of the smallest square around the pixel that holds this share of all |da/dx|;
        None where there is none."""
        rows, columns = (
            np.abs(np.arange(low, high + 1) - p)
            for (low, high), p in zip(self.formula, self.pixel, strict=True)
        )
        rings = np.bincount(np.maximum.outer(rows, columns).ravel(), self.magnitude.ravel())
        if not rings.sum() > 0:
            return None
        return 2 * int(np.searchsorted(np.cumsum(rings), share * rings.sum())) + 1


def measure(net: UNet, x: np.ndarray, pixel: tuple[int, int]) -> Field:
    """The field of the output pixel (row, column) of the tile x (1, H, W, C), a normalised one.

    Only the part of the tile is computed that the pixel can see. The logit is that of the most
    probable class there.
    """
    shape, xp = net.shape, array_module(x)
    starts = [_part(p, side, shape) for p, side in zip(pixel, x.shape[1:3], strict=True)]
    (top, height), (left, width) = starts
    part = x[:, top : top + height, left : left + width].astype("float64")
    exact = copy_of(net, definition, "float64")
    logits, backward = exact(part, remember="once")
    here = (0, pixel[0] - top, pixel[1] - left)
    logit = int(logits[here].argmax())
    dlogits = xp.zeros_like(logits)
    dlogits[(*here, logit)] = 1
    found = to_host(xp.abs(backward(dlogits, input_gradient=True)[0]).sum(2))
    magnitude = np.zeros(x.shape[1:3])
    magnitude[top : top + height, left : left + width] = found
    spans = [interval(p, shape.depth, shape.padding) for p in pixel]
    rows, columns = (
        (max(low, 0), min(high, side - 1))
        for (low, high), side in zip(spans, x.shape[1:3], strict=True)
    )
    box = magnitude[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1]
    cut, lost = [rows, columns] != spans, margin(shape.depth, shape.padding)
    place = pixel[0] + lost, pixel[1] + lost
    return Field((rows, columns), _support(magnitude), cut, box, logit, place)


def _part(pixel: int, side: int, shape: Shape) -> Span:
    """The first pixel and the length of a part of the tile, along one axis, that holds all that an
    output pixel sees: it begins on the pooling grid, which does not move."""
    step, depth = lattice(shape.depth), shape.depth
    around = context(depth) if shape.padding == "same" else 0
    length = min(tile_for_output(2 * around + step, depth, shape.padding), side)
    first = pixel // step * step - around
    return min(max(first, 0), side - length), length


def _support(magnitude: np.ndarray) -> tuple[Span, Span] | None:
    """The box around all that is not 0."""
    ends = [np.flatnonzero(magnitude.any(axis)) for axis in (1, 0)]
    if not ends[0].size:
        return None
    rows, columns = ((int(found[0]), int(found[-1])) for found in ends)
    return rows, columns
