"""The U-Net of Ronneberger, Fischer and Brox (2015), Fig. 1, as a recursion.

A U-Net is a level inside a level: a level contracts, hands half the resolution to the level
below, and merges what comes back with what it kept. Images are (N, H, W, C), channels last.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cunet.backend import Array, array_module, check_current, resolve_device
from cunet.engines import TENSOR_CORES, obstacle, resolve_precision
from cunet.engines.gpu import elements
from cunet.errors import CunetError
from cunet.net.layers import (
    Backward,
    Conv,
    Parameter,
    UpConv,
    drop,
    pool,
    weighted_sigmoid_loss,
    weighted_softmax_loss,
)
from cunet.net.normalization import Normalization
from cunet.net.normed import NormedConv
from cunet.net.shape import check_shape
from cunet.net.sizes import check_tile
from cunet.ops import crop_concat
from cunet.ops.sigmoid_loss import sigmoid
from cunet.ops.softmax_loss import softmax


@dataclass(frozen=True)
class Level:
    """The layers of one resolution; the bottom has no up-convolution and no expanding pair."""

    contract: tuple[Conv | NormedConv, Conv | NormedConv]
    up: UpConv | None = None
    expand: tuple[Conv | NormedConv, Conv | NormedConv] | None = None


class UNet:
    """The network. width: channels of the first level (64 in the paper); depth: poolings (4).

    dropout is the rate at the end of the contracting path (after the second convolution of the
    last contracting level and of the bottom). variant "release2015" is the network of the
    authors' release: ReLU after each up-convolution, and twice the channels in the last one.
    All weights follow from the seed.

    What later reproductions changed: padding "same" keeps the size of an image, batch_norm
    normalises the channels between each 3x3 convolution and its ReLU, sigmoid tells two classes by
    one output instead of two. resize is the side of the square that the images of its training
    were scaled to, and those to be segmented are (None: not at all).

    precision is how it computes (see precision.py); weights, logits and gradients of the weights
    are of dtype in any case. None: tf32 where the device has it, else dtype. obstacle says why the
    net cannot use tensor cores (None: it can).
    """

    def __init__(
        self,
        width: int = 64,
        depth: int = 4,
        in_channels: int = 1,
        classes: int = 2,
        dropout: float = 0.5,
        variant: str = "paper",
        dtype: str = "float32",
        seed: int = 0,
        device: str = "cpu",
        padding: str = "valid",
        batch_norm: bool = False,
        sigmoid: bool = False,
        resize: int | None = None,
        precision: str | None = None,
    ):
        dtype = dtype if isinstance(dtype, str) else np.dtype(dtype).name
        check_shape(width, depth, in_channels, classes, dropout, variant, dtype, padding, sigmoid)
        self.width, self.depth, self.in_channels, self.classes = width, depth, in_channels, classes
        self.dropout, self.variant, self.dtype, self.seed = dropout, variant, dtype, seed
        self.padding, self.batch_norm, self.sigmoid = padding, batch_norm, sigmoid
        self.resize = resize
        self.device = resolve_device(device)
        self.normalization = Normalization.identity(in_channels)
        self.place, self.predictions = None, {}  # what captured.py has recorded of this net
        rng, release = np.random.default_rng(seed), variant == "release2015"
        self.obstacle = obstacle(
            self.device, width, in_channels, classes, padding, batch_norm, sigmoid
        )
        self.precision = resolve_precision(precision, self.dtype, self.obstacle)
        place = {"dtype": self.dtype, "device": self.device}
        channels = [width << i for i in range(depth + 1)]

        fast = place | {"precision": self.precision}

        def make(name: str, inputs: int, outputs: int) -> Conv | NormedConv:
            if batch_norm:
                return NormedConv(name, 3, inputs, outputs, rng, padding=padding, **place)
            return Conv(name, 3, inputs, outputs, rng, padding=padding, **fast)

        def pair(name: str, inputs: int, outputs: int) -> tuple:
            return make(f"{name}.conv1", inputs, outputs), make(f"{name}.conv2", outputs, outputs)

        contract = [
            pair(f"contract{i}", channels[i - 1] if i else in_channels, channels[i])
            for i in range(depth + 1)
        ]
        levels = [Level(contract[depth])]
        for i in reversed(range(depth)):
            below, here = channels[i + 1], channels[i]
            up_channels = below if release and i == 0 else here
            up = UpConv(f"expand{i}.up", below, up_channels, rng, relu=release, **fast)
            expand = pair(f"expand{i}", up_channels + here, here)
            levels.insert(0, Level(contract[i], up, expand))
        self.levels = levels
        outputs = 1 if sigmoid else classes
        self.head = Conv("head", 1, width, outputs, rng, relu=False, **fast)

    def __call__(
        self,
        x: Array,
        rng: np.random.Generator | None = None,
        remember: bool | str = True,
        watch: Callable[[str, Array], None] | None = None,
    ):
        """x (N, H, W, C) -> (logits (N, P, Q, K), backward), P = H - 184 at depth 4, H if "same".

        backward(dlogits) adds into every parameter's .grad; with input_gradient=True it also
        answers dx. Dropout draws from rng; without one it is the identity. remember=False keeps
        nothing and answers the logits alone; with "once" backward can be called once and frees
        what it has used as it goes. watch(name, y) sees every layer's output.
        """
        self.check_input(x)
        watch = watch or (lambda name, y: None)
        if self.precision in TENSOR_CORES:
            x = elements.to_elements(x, self.precision)
        y, back_levels = self._level(0, x, rng, remember, watch)
        logits, back_head = self.head(y, remember)
        watch(self.head.name, logits)
        if not remember:
            return logits
        spent = False

        def backward(dlogits: Array, input_gradient: bool = False) -> Array | None:
            nonlocal spent
            if spent:
                raise CunetError(
                    'backward: it was called before, and remember="once" keeps nothing for a '
                    "second time; call the network again"
                )
            spent = remember == "once"
            return back_levels(back_head(dlogits), input_gradient)

        return logits, backward

    def _level(self, i: int, x: Array, rng, remember: bool | str, watch) -> tuple[Array, Backward]:
        level = self.levels[i]
        x, back_contract = _pair(level.contract, x, remember, watch)
        rate = self.dropout if i >= self.depth - 1 else 0
        x, back_drop = drop(x, rate, rng, self.precision)
        if level.up is None:
            return x, lambda dx, input_gradient=True: back_contract(back_drop(dx), input_gradient)

        pooled, back_pool = pool(x, remember, self.precision)
        y, back_below = self._level(i + 1, pooled, rng, remember, watch)
        up, back_up = level.up(y, remember)
        watch(level.up.name, up)
        up_channels = up.shape[3]
        y, back_expand = _pair(level.expand, crop_concat.forward(up, x), remember, watch)

        def backward(dy: Array, input_gradient: bool = True) -> Array | None:
            dy, dskip = crop_concat.backward(back_expand(dy), up_channels)
            # x went two ways, down and across: its gradient is the sum
            dy = back_pool(back_below(back_up(dy)), dskip)
            return back_contract(back_drop(dy), input_gradient)

        return y, backward

    def loss(
        self,
        logits: Array,
        labels: Array,
        weights: Array | None = None,
        ignore: int | None = None,
        normalize: str = "weights",
    ) -> tuple[float, Array]:
        """The weighted cross-entropy of this net's logits, and its gradient dlogits."""
        function = weighted_sigmoid_loss if self.sigmoid else weighted_softmax_loss
        return function(logits, labels, weights, ignore, normalize)

    def probability(self, logits: Array) -> Array:
        """The probabilities (..., K) of the classes, from logits (..., K) or of one sigmoid."""
        if not self.sigmoid:
            return softmax(logits)
        p = sigmoid(logits)
        return array_module(p).concatenate((1 - p, p), axis=-1)

    def parameters(self) -> list[Parameter]:
        """All parameters in the order in which data meets them, a layer's filters first."""
        return [p for layer in self.layers() for p in layer.parameters()]

    def statistics(self) -> dict[str, Array]:
        """The running means and variances of batch normalization by name: learned, but not by a
        gradient."""
        normed = [layer for layer in self.layers() if isinstance(layer, NormedConv)]
        return {
            f"{layer.name}.{what}": getattr(layer, what)
            for layer in normed
            for what in ("mean", "variance")
        }

    def layers(self) -> list[Conv | NormedConv | UpConv]:
        """All convolutional layers (23 in the paper) in the order in which data meets them."""
        down = [conv for level in self.levels for conv in level.contract]
        up = [layer for level in self.levels[-2::-1] for layer in (level.up, *level.expand)]
        return [*down, *up, self.head]

    def check_input(self, x: Array) -> None:
        """CunetError where x has not the dimensions, channels, dtype or size this net takes."""
        shape = getattr(x, "shape", type(x).__name__)
        if len(shape) != 4 or shape[0] < 1 or shape[3] != self.in_channels:
            raise CunetError(
                f"U-Net input: expected an array (N, H, W, {self.in_channels}), found {shape}; "
                "images are channels last"
            )
        if array_module(x) is not array_module(self.head.w.value):
            raise CunetError(
                f"U-Net input: the network is on {self.device}, x is a {type(x)}; move it with "
                "cunet.backend.to_device"
            )
        if str(x.dtype) != self.dtype:
            raise CunetError(
                f"U-Net input: expected dtype {self.dtype}, found {x.dtype}; "
                f'use x.astype("{self.dtype}") or UNet(dtype=...)'
            )
        check_current(self.device)
        for side in x.shape[1:3]:
            check_tile(side, self.depth, self.padding)

    def settings(self) -> dict:
        """The arguments that make a network of this shape again."""
        names = ("width", "depth", "in_channels", "classes", "dropout", "variant", "dtype", "seed")
        later = {"padding": "valid", "batch_norm": False, "sigmoid": False, "resize": None}
        changed = [name for name, usual in later.items() if getattr(self, name) != usual]
        return {name: getattr(self, name) for name in (*names, *changed)}


def _pair(convs: tuple, x: Array | tuple, remember: bool | str, watch) -> tuple:
    """Two convolutions, one after the other."""
    y, back_first = convs[0](x, remember)
    watch(convs[0].name, y)
    y, back_second = convs[1](y, remember)
    watch(convs[1].name, y)
    return y, lambda dy, input_gradient=True: back_first(back_second(dy), input_gradient)
