"""Layers: operations with their parameters.

A layer is called with x and answers (y, backward); backward(dy) adds into its parameters' .grad
and answers dx. What backward must remember lives in the closure and is freed with it. With
remember=False nothing is kept and backward is None; with remember="once" the closure forgets as
soon as it was called, which leaves the memory to the gradients of the layers before.
"""

from collections.abc import Callable

import numpy as np

from cunet import engines
from cunet.backend import Array, array_module, to_device
from cunet.engines import cpu, gpu
from cunet.ops import dropout, sigmoid_loss, softmax_loss

Backward = Callable[..., Array] | None


class Parameter:
    """An array that is learned, its gradient, and Caffe's two multipliers for it."""

    def __init__(self, name: str, value: Array, lr_mult: float = 1, decay_mult: float = 1):
        self.name, self.value = name, value
        # zeros, not zeros_like: pages that are never written to, as in inference, cost nothing
        self.grad = array_module(value).zeros(value.shape, value.dtype)
        self.lr_mult, self.decay_mult = lr_mult, decay_mult


def he_normal(rng: np.random.Generator, shape: tuple[int, ...], incoming: int, dtype: str) -> Array:
    """N(0, sqrt(2 / incoming)), drawn in float64 on the host: the same numbers for every device.

    `incoming` is the number of input nodes of one neuron (paper section 3, He et al. 2015).
    """
    return (rng.standard_normal(shape) * np.sqrt(2 / incoming)).astype(dtype)


def parameters(name: str, filters: Array, device: str) -> tuple[Parameter, Parameter]:
    """The filters and the zero biases of a layer, with the authors' multipliers: biases learn
    twice as fast and do not decay."""
    biases = np.zeros(filters.shape[-1], filters.dtype)
    return (
        Parameter(f"{name}.filters", to_device(filters, device), 1, 1),
        Parameter(f"{name}.biases", to_device(biases, device), 2, 0),
    )


class Conv:
    """A size x size convolution, followed by a ReLU where relu is true."""

    def __init__(
        self,
        name: str,
        size: int,
        channels: int,
        outputs: int,
        rng: np.random.Generator,
        *,
        relu: bool = True,
        padding: str = "valid",
        dtype: str = "float32",
        device: str = "cpu",
        precision: str = "float32",
    ):
        filters = he_normal(rng, (size, size, channels, outputs), size * size * channels, dtype)
        self.name, self.relu, self.padding, self.precision = name, relu, padding, precision
        self.w, self.b = parameters(name, filters, device)

    def parameters(self) -> list[Parameter]:
        """Filters, biases."""
        return [self.w, self.b]

    def __call__(self, x: Array | tuple[Array, ...], remember: bool | str = True) -> tuple:
        w, b = self.w, self.b
        algorithm = engines.choose(w.value, self.precision)
        add = engines.choose_rows(self.precision).add
        y = algorithm.forward(x, w.value, b.value, self.padding, self.relu)
        if not remember:
            return y, None

        def backward(dy: Array, input_gradient: bool = True) -> Array | None:
            nonlocal x, y
            dx, dw, db = algorithm.backward(
                x, dy, w.value, self.padding, input_gradient, y if self.relu else None
            )
            if remember == "once":
                x = y = None
            add(dw, w.grad)
            add(db, b.grad)
            return dx

        return y, backward


class UpConv:
    """A 2x2 up-convolution, followed by a ReLU where relu is true."""

    def __init__(
        self,
        name: str,
        channels: int,
        outputs: int,
        rng: np.random.Generator,
        *,
        relu: bool = False,
        dtype: str = "float32",
        device: str = "cpu",
        precision: str = "float32",
    ):
        # Each output pixel sees one input pixel, so a neuron has `channels` incoming nodes.
        # (Caffe's filler would take count / shape[0] = 4 * outputs for a deconvolution's blob.)
        filters = he_normal(rng, (2, 2, channels, outputs), channels, dtype)
        self.name, self.relu, self.precision = name, relu, precision
        self.w, self.b = parameters(name, filters, device)

    def parameters(self) -> list[Parameter]:
        """Filters, biases."""
        return [self.w, self.b]

    def __call__(self, x: Array, remember: bool | str = True) -> tuple[Array, Backward]:
        w, b, up = self.w, self.b, engines.choose_rows(self.precision)
        fast = engines.choose_rows(self.precision)
        y = up.up_forward(x, w.value, b.value, self.relu)
        if not remember:
            return y, None

        def backward(dy: Array) -> Array:
            nonlocal x, y
            dx, dw, db = up.up_backward(fast.relu_backward(dy, y) if self.relu else dy, x, w.value)
            if remember == "once":
                x = y = None
            fast.add(dw, w.grad)
            fast.add(db, b.grad)
            return dx

        return y, backward


def pool(
    x: Array, remember: bool | str = True, precision: str = "float32"
) -> tuple[Array, Backward]:
    """2x2 max-pooling. x may have gone another way as well, cropped: backward(dy, beside) adds the
    gradient that came back from there."""
    fast = engines.choose_rows(precision)
    y = fast.pool_forward(x)

    def backward(dy: Array, beside: Array | None = None) -> Array:
        nonlocal x, y
        dx = fast.pool_backward(dy, x, y, beside)
        if remember == "once":
            x = y = None
        return dx

    return y, backward if remember else None


def drop(
    x: Array, rate: float, rng: np.random.Generator | None, precision: str = "float32"
) -> tuple[Array, Backward]:
    """Dropout with one 64-bit key drawn from rng; the identity without rng or at rate 0.

    The key alone would tell the mask again. The CPU keeps the mask, which is faster; a GPU draws it
    again, which is faster there.
    """
    if rng is None or rate == 0:
        return x, lambda dy: dy
    key = rng.integers(2**64, dtype=np.uint64)
    if engines.choose_rows(precision) is not cpu:
        return gpu.drop(x, rate, key), lambda dy: gpu.drop(dy, rate, key)
    mask = dropout.mask(x, rate, int(key))
    return x * mask, lambda dy: dy * mask


def weighted_softmax_loss(
    logits: Array,
    labels: Array,
    weights: Array | None = None,
    ignore: int | None = None,
    normalize: str = "weights",
) -> tuple[float, Array]:
    """The loss (a float) and dlogits (N, P, Q, K); see ops/softmax_loss.py for the formula.

    logits (N, P, Q, K), labels (N, P, Q) integers, weights (N, P, Q) or None for all ones.
    """
    loss, log_p = softmax_loss.forward(logits, labels, weights, ignore, normalize)
    return loss, softmax_loss.backward(log_p, labels, weights, ignore, normalize)


def weighted_sigmoid_loss(
    logits: Array,
    labels: Array,
    weights: Array | None = None,
    ignore: int | None = None,
    normalize: str = "weights",
) -> tuple[float, Array]:
    """The loss (a float) and dlogits (N, P, Q, 1); see ops/sigmoid_loss.py for the formula.

    logits (N, P, Q, 1), labels (N, P, Q) of 0 and 1, weights (N, P, Q) or None for all ones.
    """
    loss, p = sigmoid_loss.forward(logits, labels, weights, ignore, normalize)
    return loss, sigmoid_loss.backward(p, labels, weights, ignore, normalize)
