"""The network that the U-Net was compared with, patch by patch and for all patches at once.

N4 of Ciresan, Giusti, Gambardella and Schmidhuber, "Deep neural networks segment neuronal membranes
in electron microscopy images" (NIPS 2012): a patch of 95x95 pixels in, the class of its centre
pixel out. The sizes are theirs. The ReLUs are ours: which activation they used is not confirmed.
Their foveation, nonuniform sampling, average of several nets and calibration are left out.

Letters: patches (N, 95, 95, C); an image (H, W, C), or (N, H, W, C) with its mirrored border;
logits and probabilities (N, P, Q, K).
"""

import numpy as np

from cunet.backend import Array, array_module, resolve_device, to_device, to_host
from cunet.data.mirror import reflect
from cunet.engines import engine_of
from cunet.errors import CunetError
from cunet.net.figure1 import Row
from cunet.net.layers import Backward, Conv, Maker, Parameter, Pool
from cunet.net.normalization import Normalization
from cunet.net.run import Run
from cunet.ops.max_pool import WINDOW
from cunet.ops.softmax_loss import probability as softmax

PATCH = 95  # pixels; the centre is pixel 47 from each side
EDGE = PATCH // 2
FILTERS = (4, 5, 4, 4)  # sides of the four convolutions, each followed by a pooling
LATTICE = 2 ** len(FILTERS)


class SlidingWindow:
    """The network. maps: channels of the four convolutions (48); hidden: units behind them (200).

    The fully connected layers are convolutions of 3x3 and 1x1, which on a patch is the same.
    All weights follow from the seed.
    """

    def __init__(
        self,
        maps: int = 48,
        hidden: int = 200,
        in_channels: int = 1,
        classes: int = 2,
        dtype: str = "float32",
        seed: int = 0,
        device: str = "cpu",
    ):
        self.maps, self.hidden_units, self.in_channels = maps, hidden, in_channels
        self.classes, self.dtype, self.seed = classes, dtype, seed
        self.device = resolve_device(device)
        self.normalization = Normalization.identity(in_channels)
        engine = engine_of(self.device, dtype)
        make = Maker(seed, dtype, self.device, engine)
        incoming = (in_channels, *[maps] * len(FILTERS))
        self.convs = [
            Conv(f"conv{i + 1}", side, incoming[i], maps, make) for i, side in enumerate(FILTERS)
        ]
        self.pool = Pool(make)
        self.hidden = Conv("hidden", 3, maps, hidden, make)
        self.head = Conv("head", 1, hidden, classes, make, relu=False)

    def __call__(self, x: Array, remember: bool | str = True) -> tuple[Array, Backward] | Array:
        """Patches (N, 95, 95, C) -> (logits (N, 1, 1, K), backward), as cunet.UNet's.

        backward(dlogits) adds into every parameter's .grad, and with input_gradient=True returns
        dx. With remember=False it returns the logits alone; with "once" memory is freed when used.
        """
        if x.shape[1:3] != (PATCH, PATCH):
            raise CunetError(f"patches: expected (N, {PATCH}, {PATCH}, C), found {x.shape}")
        layers = [layer for conv in self.convs for layer in (conv, self.pool)]
        x, back = Run(remember=remember).chain([*layers, self.hidden, self.head], x)
        if not remember:
            return x
        return x, lambda dy, input_gradient=False: back(dy, input_gradient)

    def dense(self, x: Array, level: int = 0) -> Array:
        """The logits (N, P, Q, K) of all patches of images (N, P + 94, Q + 94, C), each part once.

        P and Q are multiples of 16. Neighbouring patches pool on grids that are shifted by one
        pixel, so each pooling is done at all four offsets: four fragments, each the image that
        every second patch sees in either direction. The later layers turn the fragments into
        the pixels of four interleaved grids. (Giusti et al. 2013, "Fast image
        scanning with deep max-pooling convolutional neural networks".)
        """
        if level == 0 and any((side - 2 * EDGE) % LATTICE or side < PATCH for side in x.shape[1:3]):
            raise CunetError(
                f"sliding window: an image with its border has {LATTICE} k + {2 * EDGE} rows and "
                f"columns, found {x.shape[1]}x{x.shape[2]}"
            )
        if level == len(self.convs):
            return self.head(self.hidden(x)[0])[0]
        y = self.convs[level](x)[0]
        xp = array_module(y)
        # the sides are odd, so both offsets of an axis meet the same number of windows
        rows, columns = y.shape[1] - 1, y.shape[2] - 1
        fragments = [self.pool(y[:, a : a + rows, b : b + columns])[0] for a, b in WINDOW]
        parts = self.dense(xp.concatenate(fragments), level + 1)
        n, height, width, classes = parts.shape[0] // 4, *parts.shape[1:]
        whole = xp.empty((n, 2 * height, 2 * width, classes), parts.dtype)
        for i, (a, b) in enumerate(WINDOW):
            whole[:, a::2, b::2] = parts[i * n : (i + 1) * n]
        return whole

    def parameters(self) -> list[Parameter]:
        """All parameters in the order of the data's way, filters before biases."""
        return [p for layer in self.layers() for p in (layer.w, layer.b)]

    def statistics(self) -> dict[str, Array]:
        """Learned arrays without gradient: none."""
        return {}

    def layers(self) -> list[Conv]:
        """The six layers that have parameters."""
        return [*self.convs, self.hidden, self.head]

    def settings(self) -> dict:
        """The arguments that make a network of this shape again, for the model file."""
        names = ("maps", "in_channels", "classes", "dtype", "seed")
        return {name: getattr(self, name) for name in names} | {"hidden": self.hidden_units}


def rows(net: SlidingWindow, side: int = PATCH) -> list[Row]:
    """Every layer's output, parameters and operations for a patch; for the larger side of an image
    with its border, those of the dense evaluation, the fragments of a layer counted together."""
    table, fragments = [], 1

    def add(layer: Conv) -> None:
        nonlocal side
        size, _, incoming, outputs = layer.w.value.shape
        side -= size - 1
        products = size * size * incoming * outputs * side * side * fragments
        parameters = layer.w.value.size + layer.b.value.size
        kind = f"{fragments} x conv {size}x{size}"
        table.append(Row(layer.name, kind, (side, side, outputs), parameters, 2 * products))

    dense = side > PATCH
    for conv in net.convs:
        add(conv)
        side, fragments = side // 2, fragments * (4 if dense else 1)
        shape = (side, side, conv.w.value.shape[3])
        table.append(Row(f"pool{len(table) // 2 + 1}", f"{fragments} x max-pool 2x2", shape))
    add(net.hidden)
    add(net.head)
    return table


def with_border(image: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """The part (height + 94, width + 94, C) that the patches around these pixels see; beyond the
    border of the image (H, W, C) it is mirrored."""
    down = reflect(top - EDGE, height + 2 * EDGE, image.shape[0])
    across = reflect(left - EDGE, width + 2 * EDGE, image.shape[1])
    return image[down[:, None], across]


def windows(image: np.ndarray) -> np.ndarray:
    """A view (H, W, 95, 95, C): the patch around every pixel of an image (H, W, C)."""
    bordered = with_border(image, 0, 0, *image.shape[:2])
    view = np.lib.stride_tricks.sliding_window_view(bordered, (PATCH, PATCH), axis=(0, 1))
    return np.moveaxis(view, 2, 4)


def patch_probabilities(net: SlidingWindow, patches: np.ndarray) -> np.ndarray:
    """Class probabilities (N, K) of patches (N, 95, 95, C), each computed by itself."""
    x = to_device(np.ascontiguousarray(patches, net.dtype), net.device)
    return to_host(softmax(net(x, remember=False)))[:, 0, 0]


def image_probabilities(net: SlidingWindow, image: np.ndarray, block: int = 512) -> np.ndarray:
    """Class probabilities (H, W, K) of a normalised image (H, W, C), in dense blocks of at most
    block x block pixels, which only limits the memory."""
    height, width = image.shape[:2]
    found = np.empty((height, width, net.classes), net.dtype)
    for top in range(0, height, block):
        for left in range(0, width, block):
            part = found[top : top + block, left : left + block]
            sides = [-(-length // LATTICE) * LATTICE for length in part.shape[:2]]
            x = to_device(with_border(image, top, left, *sides)[None], net.device)
            output = to_host(softmax(net.dense(x.astype(net.dtype, copy=False))))[0]
            part[...] = output[: part.shape[0], : part.shape[1]]
    return found
