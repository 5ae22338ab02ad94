"""The U-Net of Ronneberger, Fischer and Brox (2015), Fig. 1, as a recursion.

A U-Net is a level inside a level: a level contracts, hands half the resolution to the level
below, and merges what comes back with what it kept. Images are (N, H, W, C), channels last.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from cunet.backend import Array, resolve_device
from cunet.checks import arguments, whole_from_0, whole_from_1
from cunet.engines import check_dtype, engine_of, obstacle, resolve_precision
from cunet.net.input import check_gradient, check_input
from cunet.net.layers import Backward, Conv, Maker, Parameter
from cunet.net.levels import make_levels
from cunet.net.normalization import Normalization
from cunet.net.normed import BatchNorm
from cunet.net.run import Run
from cunet.net.shape import Shape
from cunet.net.shown import ShownNet
from cunet.ops import crop_concat, sigmoid_loss, softmax_loss


class UNet(ShownNet):
    """The network. width: channels of the first level (64 in the paper); depth: poolings (4).

    dropout is the rate at the end of the contracting path: after the second convolution of the last
    contracting level and of the bottom. variant "release2015" is the network of the authors'
    release: ReLU after each up-convolution, and twice the channels in the last one. What later
    reproductions changed: padding "same" keeps the size of an image, batch_norm normalises the
    channels between each 3x3 convolution and its ReLU, sigmoid separates two classes by one output
    instead of two. resize is the side of the square that images are scaled to (None: they are not).
    All weights follow from the seed.

    precision is what it computes in (cunet/engines), by default tf32 where the device has it and
    nothing (obstacle) prevents it, else dtype; weights, logits and gradients of the weights are of
    dtype in any case. engine is the module that computes, by default what engine_of chooses.

    CunetError for values that no network has, DeviceError for a device that cannot be used.

        net = cunet.UNet(width=16, depth=3, classes=3)
        logits, backward = net(x, rng=np.random.default_rng(0))
    """

    @arguments(seed=whole_from_0, resize=whole_from_1)
    def __init__(
        self, width: int = 64, depth: int = 4, in_channels: int = 1, classes: int = 2,
        dropout: float = 0.5, variant: str = "paper", dtype: str = "float32", seed: int = 0,
        device: str = "cpu", padding: str = "valid", batch_norm: bool = False,
        sigmoid: bool = False, resize: int | None = None, precision: str | None = None,
        engine: ModuleType | None = None,
    ):  # fmt: skip
        self.shape = Shape(
            width, depth, in_channels, classes, dropout, variant, padding, batch_norm, sigmoid
        )
        self.seed, self.resize = seed, resize
        # which engine, in which precision: see cunet/engines/__init__.py
        self.dtype, self.device = check_dtype(dtype), resolve_device(device)
        self.obstacle = obstacle(self.device, self.shape)
        self.precision = resolve_precision(precision, self.dtype, self.obstacle)
        self.engine = engine or engine_of(self.device, self.precision)
        self.normalization = Normalization.identity(in_channels)
        loss = sigmoid_loss if sigmoid else softmax_loss
        self.loss, self.probability = loss.loss, loss.probability
        make = Maker(seed, self.dtype, self.device, self.engine)
        self.levels = make_levels(self.shape, make)
        self.head = Conv("head", 1, width, self.shape.outputs, make, relu=False)

    def __call__(
        self, x: Array, rng: np.random.Generator | None = None, remember: bool | str = True,
        watch: Callable[[str, Array], None] | None = None, train: bool | None = None,
    ) -> Any:  # fmt: skip
        """x (N, H, W, C) -> (logits (N, P, Q, K), backward), P = H - 184 at depth 4, H if "same".

        backward(dlogits) adds into every parameter's .grad; with input_gradient=True it also
        returns dx. Dropout draws from rng; without one it is the identity. remember=False keeps
        nothing and returns the logits alone; with "once" backward can be called once and frees what
        it has used as it goes. watch(name, y) sees the output of every layer that has a name.
        train: whether this is a training pass, in which batch normalization uses the statistics of
        the batch and learns from them; by default it is where rng is given.
        """
        check_input(self, x, rng, remember)
        run = Run(rng, remember, watch, rng is not None if train is None else train)
        y, back_levels = self._level(0, self.engine.enter(x, self.precision), run)
        logits, back_head = run(self.head, y)
        if not remember:
            return logits
        shape = logits.shape  # which does not keep them alive

        def backward(dlogits: Array, input_gradient: bool = False) -> Array | None:
            check_gradient(dlogits, shape)
            return back_levels(back_head(dlogits), input_gradient)

        return logits, backward

    def _level(self, i: int, x: Array, run: Run) -> tuple[Array, Backward]:
        level = self.levels[i]
        x, back_contract = run.chain(level.contract, x)
        if level.up is None:
            return x, back_contract

        pooled, back_pool = run(level.pool, x)
        y, back_below = self._level(i + 1, pooled, run)
        up, back_up = run(level.up, y)
        up_channels = up.shape[3]  # so that backward does not keep `up` alive
        y, back_expand = run.chain(level.expand, crop_concat.forward(up, x))

        def backward(dy: Array, input_gradient: bool = True) -> Array | None:
            dy, dcentre = crop_concat.backward(back_expand(dy), up_channels)
            # x went two ways, down and across: pooling adds dcentre to the centre of its own dx
            dy = back_pool(back_below(back_up(dy)), dcentre)
            return back_contract(dy, input_gradient)

        return y, backward

    def parameters(self) -> list[Parameter]:
        """All parameters in the order in which data meets them, a layer's filters first."""
        return [p for layer in self.layers() for p in layer.parameters()]

    def layers(self) -> list[Any]:
        """All layers with parameters (23 in the paper) in the order in which data meets them."""
        down = [layer for level in self.levels for layer in level.contract]
        # from the last level but one, upwards
        up = [layer for level in self.levels[-2::-1] for layer in (level.up, *level.expand)]
        return [one for one in (*down, *up, self.head) if hasattr(one, "parameters")]

    def settings(self) -> dict[str, Any]:
        """The arguments that make a network of this shape again."""
        return vars(self.shape) | {"dtype": self.dtype, "seed": self.seed, "resize": self.resize}

    def statistics(self) -> dict[str, Array]:
        """The running means and variances of batch normalization: learned without a gradient."""
        norms, names = [n for n in self.layers() if isinstance(n, BatchNorm)], ("mean", "variance")
        return {f"{n.name}.{what}": getattr(n, what) for n in norms for what in names}
