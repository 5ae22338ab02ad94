"""An image layer as pages (H, W) or (H, W, C), of which parts are read when they are needed.

The last two axes of a layer are its pages' rows and columns, after which RGB has its colours; all
before are counted through (time, slices). Arrays of dask and zarr are read tile by tile.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cunet import CunetError

if TYPE_CHECKING:
    from napari.layers import Image

CHANNELS = ("c", "channel", "channels")  # what an axis of channels is called


class Page:
    """One page: shape (H, W) or (H, W, C) and dtype, and page[r0:r1, c0:c1] as an array.

    This is what `cunet.segment_window` takes.
    """

    def __init__(self, stack: "Stack", index: tuple[int, ...]):
        self._stack, self.index = stack, index
        self.dtype = np.dtype(stack.data.dtype)
        self.shape = (stack.height, stack.width) + ((stack.channels,) if stack.channels else ())

    def __getitem__(self, window: tuple[slice, slice]) -> np.ndarray:
        stack, index = self._stack, [*self.index, *window]
        if stack.channel_axis is not None:
            index.insert(stack.channel_axis, slice(None))
        pixels = np.asarray(stack.data[tuple(index)])
        if stack.channel_axis is not None:
            pixels = np.moveaxis(pixels, 0, -1)  # numbers before it took their axes away
        return pixels[..., : stack.channels] if stack.channels else pixels


@dataclass(frozen=True)
class Stack:
    """The pages of a layer.

    data          its array, at its full resolution
    lead          the lengths of the axes before height and width, without that of channels
    channels      of a page; 0 where a page is (H, W)
    channel_axis  where `data` has them, if not at its end
    alpha         whether RGBA lost its last channel
    """

    name: str
    data: Any
    lead: tuple[int, ...]
    height: int
    width: int
    channels: int = 0
    channel_axis: int | None = None
    alpha: bool = False

    @property
    def pages(self) -> list[tuple[int, ...]]:
        """The index of each page along the axes of `lead`."""
        return list(np.ndindex(*self.lead))

    def page(self, index: tuple[int, ...]) -> Page:
        """One of them."""
        return Page(self, index)

    @property
    def bytes(self) -> int:
        """What a float32 result of one class takes."""
        return 4 * math.prod((*self.lead, self.height, self.width))


def stack_of(layer: "Image", channels: int) -> Stack:
    """The pages of an image layer as a network of so many channels takes them.

    The alpha of RGBA is dropped; RGB with equal channels is grey (see `grey`). Otherwise a network
    of several channels needs an axis named c. CunetError for a layer that does not fit.
    """
    data, name = (layer.data[0] if layer.multiscale else layer.data), layer.name
    shape = tuple(map(int, data.shape))
    if data.ndim - layer.rgb < 2 or 0 in shape:
        raise CunetError(f"layer '{name}': expected an image of two or more axes, found {shape}")
    if layer.rgb:
        *lead, height, width, colours = shape
        alpha = colours == 4
        if channels not in (1, 3):
            raise _misfit(name, f"{colours - alpha} (RGB)", channels, "take another model")
        return Stack(name, data, tuple(lead), height, width, 3, alpha=alpha)
    *lead, height, width = shape
    if channels == 1:
        return Stack(name, data, tuple(lead), height, width)
    named = [i for i, axis in enumerate(layer.axis_labels[:-2]) if axis.lower() in CHANNELS]
    if len(named) != 1 or shape[named[0]] != channels:
        found = f"{shape[named[0]]}" if named else "1"
        how = "Merge to RGB" if channels == 3 else "Merge to Stack and call the new axis c"
        raise _misfit(
            name, found, channels, f"select its channels and choose {how} in the layer list's menu"
        )
    rest = tuple(size for i, size in enumerate(lead) if i != named[0])
    return Stack(name, data, rest, height, width, channels, named[0])


def _misfit(name: str, found: str, channels: int, fix: str) -> CunetError:
    plural = "" if found == "1" else "s"
    return CunetError(
        f"layer '{name}' has {found} channel{plural}, the model was made for {channels}; {fix}"
    )


def grey(stack: Stack, pixels: np.ndarray) -> np.ndarray:
    """Pixels (H, W, 3) of RGB as grey (H, W), for a network of one channel; CunetError where they
    are coloured, since there is no one right way to make them grey."""
    if (pixels[..., :1] != pixels).any():
        raise CunetError(
            f"layer '{stack.name}' is in colour and the model was made for 1 channel; split it "
            "into its channels (layer list's menu: Split RGB) and take one, or take a model for RGB"
        )
    return pixels[..., 0]
