"""The definitions as an engine: zeros, concatenation and a ReLU around the functions of ops.

Every engine has the functions of this file but side_by_side, with the same names and arguments (the
GPU's lacks batch normalization). Layers call those of conv, up, pool, drop and norm, and add; the
network calls enter, a training step and sample_bytes, segmentation predict; leave serves the search
for numbers that are not finite, recorded_bytes the account of memory.

This engine runs on NumPy and CuPy alike. It is what a GPU without tensor cores computes with - each
product goes to the GPU's own BLAS - and what the other engines are tested against.

Shapes: images (N, H, W, C), filters (R, S, C, K). The x of a convolution may be a tuple of images,
which stands for their channels side by side. In the backward of conv and up, y is what forward
returned if a ReLU followed, else None. Sums are formed in an order that depends on shapes alone.
"""

from typing import Any

import numpy as np

from cunet.backend import Array, array_module, to_device, to_host
from cunet.ops import batch_norm, conv, crop_concat, dropout, max_pool, up_conv
from cunet.ops.padding import backward as without_zeros
from cunet.ops.padding import forward as with_zeros
from cunet.ops.relu import backward as relu_backward
from cunet.ops.relu import forward as relu_forward
from cunet.threads import fixed_sums


@fixed_sums
def conv_forward(
    x: Array | tuple[Array, ...], w: Array, b: Array, padding: str = "valid", relu: bool = False
) -> Array:
    """The convolution y (N, P, Q, K) of x with the filters w and the biases b (K).

    padding: "valid" or "same"; relu: whether a ReLU follows.
    """
    y = conv.forward(with_zeros(side_by_side(x), w.shape[:2], padding), w, b)
    return relu_forward(y, out=y) if relu else y


@fixed_sums
def conv_backward(
    dy: Array,
    x: Array | tuple[Array, ...],
    w: Array,
    y: Array | None = None,
    padding: str = "valid",
    input_gradient: bool = True,
) -> tuple[Array | tuple[Array, ...] | None, Array, Array]:
    """dx (N, H, W, C), dw (R, S, C, K) and db (K); dx is None where it is not wanted.

    If x is a tuple, dx has the channels of all images in order (the GPU's engine returns a tuple).
    """
    dy = dy if y is None else relu_backward(dy, y)
    padded = with_zeros(side_by_side(x), w.shape[:2], padding)
    dx, dw, db = conv.backward(dy, padded, w)  # dx always: fast engines leave it out
    return without_zeros(dx, w.shape[:2], padding) if input_gradient else None, dw, db


@fixed_sums
def up_forward(x: Array, w: Array, b: Array, relu: bool = False) -> Array:
    """The up-convolution y (N, 2H, 2W, K); relu: whether a ReLU follows."""
    y = up_conv.forward(x, w, b)
    return relu_forward(y, out=y) if relu else y


@fixed_sums
def up_backward(
    dy: Array, x: Array, w: Array, y: Array | None = None
) -> tuple[Array, Array, Array]:
    """dx (N, H, W, C), dw (2, 2, C, K) and db (K)."""
    return up_conv.backward(dy if y is None else relu_backward(dy, y), x, w)


def pool_forward(x: Array) -> Array:
    """The maxima y (N, H/2, W/2, C) of the 2x2 windows."""
    return max_pool.forward(x)


def pool_backward(dy: Array, x: Array, y: Array, beside: Array | None = None) -> Array:
    """dx, plus `beside`: the gradient of x's centre, smaller than x, that came along the skip."""
    dx = max_pool.backward(dy, x, y)
    if beside is not None:
        add(beside, crop_concat.centre(dx, *beside.shape[1:3]))
    return dx


def drop_forward(x: Array, rate: float, key: Any) -> tuple[Array, Any]:
    """x with a share `rate` of its elements dropped, which the 64-bit key selects, and what
    drop_backward needs in order to drop the same."""
    mask = dropout.mask(x, rate, int(key))
    return x * mask, mask


def drop_backward(dy: Array, kept: Any) -> Array:
    """dx, with the same elements dropped."""
    return dy * kept


def norm_statistics(x: Array) -> tuple[Array, Array]:
    """The mean and the variance (C) of every channel of x."""
    return batch_norm.statistics(x)


def norm_forward(x: Array, gamma: Array, beta: Array, m: Array, v: Array) -> Array:
    """y: x normalised by mean m and variance v, scaled, shifted, and rectified."""
    return relu_forward(batch_norm.forward(x, gamma, beta, m, v))


def norm_backward(
    dy: Array, x: Array, y: Array, gamma: Array, m: Array, v: Array, own: bool = True
) -> tuple[Array, Array, Array]:
    """dx, dgamma (C) and dbeta (C). own: m and v are the statistics of x itself, not constants."""
    return batch_norm.backward(relu_backward(dy, y), x, gamma, m, v, own)


def add(a: Array, b: Array) -> None:
    """b += a, in place."""
    b += a


def enter(x: Array, precision: str) -> Array:
    """An image as this engine's layers take it."""
    return x


def leave(y: Array) -> Array:
    """What a layer returned, as numbers of the network's dtype."""
    return y


class Step:
    """Training steps of a net, one operation after the other.

    net, solver: the network and what updates its parameters. normalize, ignore: see
    ops/softmax_loss.py.
    """

    sample_bytes = 0  # not 0: the device makes the samples, of slices of so many bytes on it

    # Overflow shows in the loss, which is checked; NumPy's own warnings would report it twice.
    quiet = np.errstate(over="ignore", invalid="ignore")

    def __init__(self, net: Any, solver: Any, normalize: str, ignore: int | None = None):
        self.net, self.solver, self.normalize, self.ignore = net, solver, normalize, ignore
        self.given: tuple = ()

    @quiet
    def accumulate(self, batch: tuple, rng: np.random.Generator, prepare: Any = None) -> float:
        """One forward and backward pass: adds into the gradients, returns the loss.

        batch: x (N, H, W, C), labels (N, P, Q), weights (N, P, Q), on the host. prepare: makes
        the next batch; engines whose device works by itself call it meanwhile, this one does not.
        """
        net, self.given = self.net, batch
        x, labels, weights = (to_device(array, net.device) for array in batch)
        logits, backward = net(x.astype(net.dtype, copy=False), rng, remember="once")
        loss, dlogits = net.loss(logits, labels, weights, self.ignore, self.normalize)
        backward(dlogits)
        return loss

    @quiet
    def update(self) -> float:
        """One update by the solver; returns the learning rate."""
        return self.solver.step()

    def batch(self) -> tuple:
        """x, labels and weights of the last batch, on the host."""
        return self.given

    def close(self) -> None:
        """Nothing is to be released."""


def step(
    net: Any, solver: Any, normalize: str, ignore: int | None = None, samples: Any = None
) -> Step:
    """The object that does the training steps of this net.

    samples: those that the device shall make itself, where sample_bytes is not 0.
    """
    return Step(net, solver, normalize, ignore)


def sample_bytes(samples: Any) -> int:
    """Bytes on the device that a step takes to make these samples (data.samples.Samples) itself;
    0: it cannot."""
    return 0


def predict(net: Any, x: np.ndarray) -> np.ndarray:
    """The probabilities (N, P, Q, K) of images x (N, H, W, C), from the host to the host."""
    return to_host(net.probability(net(to_device(x, net.device), remember=False)))


def recorded_bytes(net: Any) -> int:
    """Bytes on the device that recorded work of this net holds besides its arrays."""
    return 0


def side_by_side(x: Array | tuple[Array, ...]) -> Array:
    """The images as one, with all their channels."""
    return array_module(x[0]).concatenate(x, axis=3) if isinstance(x, tuple) else x
