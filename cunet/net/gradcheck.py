"""Finite differences against every hand-written backward, in float64.

A backward returns dL/dx = J^T dy for any dy. It is compared with the central difference of
L = sum(dy * forward(x)) in every element, or in a random sample of large arrays. The error of an
array is ||a - n|| / (||a|| + ||n||), analytic against numeric.

Kinks are kept away from, as in Caffe's gradient checker: inputs of ReLU stay off zero, inputs of
max-pool are a permutation of well-spaced numbers. In the whole net kinks cannot be chosen, so a
sampled element whose difference quotient changes with the step size is drawn anew.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from cunet.engines.cpu.conv import ALGORITHMS, SINGLE, supports
from cunet.net.tiles import smallest_tile
from cunet.net.unet import UNet
from cunet.ops import (
    batch_norm,
    crop_concat,
    dropout,
    max_pool,
    relu,
    sigmoid_loss,
    softmax_loss,
    up_conv,
)

STEP = 1e-5
LIMIT = 1e-6
SAMPLES = 12  # elements checked in each parameter array of the whole net


@dataclass(frozen=True)
class Result:
    """One array's check: what was differentiated by what, and how far the two differ."""

    name: str
    array: str
    shape: tuple[int, ...]
    checked: int  # elements compared
    error: float


def relative_error(analytic: np.ndarray, numeric: np.ndarray) -> float:
    """||a - n|| / (||a|| + ||n||); 0 where both vanish."""
    total = np.linalg.norm(analytic) + np.linalg.norm(numeric)
    return float(np.linalg.norm(analytic - numeric) / total) if total else 0.0


def difference(loss: Callable[[], float], x: np.ndarray, index: tuple, step: float) -> float:
    """(L(x + step) - L(x - step)) / (2 step) in one element of x, which is put back."""
    kept = x[index]
    x[index] = kept + step
    above = loss()
    x[index] = kept - step
    below = loss()
    x[index] = kept
    return (above - below) / (2 * step)


def check(
    name: str,
    forward: Callable[[], np.ndarray],
    backward: Callable[[np.ndarray], dict[str, np.ndarray]],
    inputs: dict[str, np.ndarray],
    rng: np.random.Generator,
) -> Iterator[Result]:
    """Compare backward(dy) with differences of sum(dy * forward()) in every input element."""
    dy = rng.standard_normal(forward().shape)
    gradients = backward(dy)
    for array, x in inputs.items():
        numeric = np.empty(x.shape)
        for index in np.ndindex(x.shape):
            numeric[index] = difference(lambda: float((dy * forward()).sum()), x, index, STEP)
        error = relative_error(gradients[array], numeric)
        yield Result(name, array, x.shape, x.size, error)


def check_operations(seed: int = 0) -> Iterator[Result]:
    """Every operation and every convolution algorithm that computes in float64, batch 2."""
    rng = np.random.default_rng(seed)
    draw = rng.standard_normal
    for name, algorithm in ALGORITHMS.items():
        for size, padding in ((3, "valid"), (3, "same"), (2, "valid"), (1, "valid")):
            if name in SINGLE or not supports(algorithm, (size, size)):
                continue
            yield from _check_conv(
                f"conv {size}x{size} {padding}, {name}", algorithm, size, padding, rng
            )

    x = draw((2, 4, 5, 3))
    x += np.sign(x) * 0.01
    yield from check(
        "relu",
        lambda: relu.forward(x),
        lambda dy: {"x": relu.backward(dy, relu.forward(x))},
        {"x": x},
        rng,
    )
    p = rng.permutation(2 * 4 * 6 * 3).reshape(2, 4, 6, 3) * 0.01
    yield from check(
        "max-pool",
        lambda: max_pool.forward(p),
        lambda dy: {"x": max_pool.backward(dy, p, max_pool.forward(p))},
        {"x": p},
        rng,
    )
    u = {"x": draw((2, 3, 4, 3)), "w": draw((2, 2, 3, 2)), "b": draw(2)}
    yield from check(
        "up-conv 2x2",
        lambda: up_conv.forward(u["x"], u["w"], u["b"]),
        lambda dy: dict(zip("xwb", up_conv.backward(dy, u["x"], u["w"]), strict=True)),
        u,
        rng,
    )
    c = {"up": draw((2, 2, 4, 3)), "skip": draw((2, 6, 8, 2))}
    yield from check(
        "crop-and-concatenate",
        lambda: np.concatenate(crop_concat.forward(c["up"], c["skip"]), axis=3),
        lambda dy: _crop_concat_gradients(dy, c),
        c,
        rng,
    )
    yield from check(
        "dropout",
        lambda: dropout.forward(x, 0.5, 7),
        lambda dy: {"x": dropout.backward(dy, 0.5, 7)},
        {"x": x},
        rng,
    )
    n = {"x": draw((2, 3, 4, 3)), "gamma": draw(3), "beta": draw(3)}
    yield from check(
        "batch normalization",
        lambda: batch_norm.forward(n["x"], n["gamma"], n["beta"], *batch_norm.statistics(n["x"])),
        lambda dy: dict(zip(n, _batch_norm_gradients(dy, **n), strict=True)),
        n,
        rng,
    )
    yield from _check_loss("softmax loss", softmax_loss, 3, rng)
    yield from _check_loss("sigmoid loss", sigmoid_loss, 2, rng)


def _batch_norm_gradients(dy, x, gamma, beta) -> tuple[np.ndarray, ...]:
    return batch_norm.backward(dy, x, gamma, *batch_norm.statistics(x))


def _check_conv(name, algorithm, size, padding, rng) -> Iterator[Result]:
    a, b = rng.standard_normal((2, 5, 6, 2)), rng.standard_normal((2, 5, 6, 1))
    w, bias = rng.standard_normal((size, size, 3, 2)), rng.standard_normal(2)

    def backward(dy: np.ndarray) -> dict[str, np.ndarray]:
        dx, dw, db = algorithm.conv_backward(dy, (a, b), w, padding=padding)
        return {"x, first image": dx[..., :2], "x, second image": dx[..., 2:], "w": dw, "b": db}

    inputs = {"x, first image": a, "x, second image": b, "w": w, "b": bias}
    yield from check(
        name, lambda: algorithm.conv_forward((a, b), w, bias, padding), backward, inputs, rng
    )


def _crop_concat_gradients(dy: np.ndarray, c: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    dup, dcentre = crop_concat.backward(dy, c["up"].shape[3])
    dskip = np.zeros_like(c["skip"])
    crop_concat.centre(dskip, *dcentre.shape[1:3])[...] = dcentre
    return {"up": dup, "skip": dskip}


def _check_loss(name, loss, classes: int, rng: np.random.Generator) -> Iterator[Result]:
    outputs = classes if loss is softmax_loss else 1
    logits, weights = rng.standard_normal((2, 3, 4, outputs)), rng.random((2, 3, 4)) + 0.1
    labels = rng.integers(0, classes, (2, 3, 4))
    labels[0, 0, 0] = 255
    for normalize in softmax_loss.NORMALIZE:
        ready = softmax_loss.targets(logits, labels, weights, 255, normalize, classes)
        forward = partial(loss.forward, logits, *ready)

        def backward(dy: np.ndarray, forward=forward, ready=ready) -> dict[str, np.ndarray]:
            return {"logits": dy * loss.backward(forward()[1], *ready)}

        def value(forward=forward) -> np.ndarray:
            return np.array(forward()[0])

        yield from check(f"{name} / {normalize}", value, backward, {"logits": logits}, rng)


# What is checked as a whole: the paper's net, the authors' release, and what came later.
NETS: dict[str, dict] = {
    "paper": {"classes": 3},
    "release2015": {"classes": 3, "variant": "release2015"},
    "same, batch norm, sigmoid": {"padding": "same", "batch_norm": True, "sigmoid": True},
}


def check_net(
    depth: int = 2, width: int = 2, seed: int = 0, variant: str = "paper", samples: int = SAMPLES
) -> Iterator[Result]:
    """The whole net with loss and dropout: all parameter arrays and the input. variant: of NETS."""
    rng = np.random.default_rng([seed, depth, width])
    shape = {"in_channels": 2, "dropout": 0.5, "dtype": "float64", "seed": seed} | NETS[variant]
    net = UNet(width, depth, **shape)
    for p in net.parameters():
        if p.value.ndim == 1:  # zero biases would put many ReLUs on their kink
            p.value += 0.1 * rng.standard_normal(p.value.shape)
    side = smallest_tile(depth, net.shape.padding) + 2**depth
    x = rng.standard_normal((1, side, side, 2))
    logits = net(x, remember=False)
    labels = rng.integers(0, net.shape.classes, logits.shape[:3])
    weights = rng.random(labels.shape) + 0.1

    def loss() -> float:
        # the generator is made anew: the same dropout keys in every pass
        return net.loss(net(x, np.random.default_rng(1))[0], labels, weights)[0]

    logits, backward = net(x, np.random.default_rng(1))
    dx = backward(net.loss(logits, labels, weights)[1], input_gradient=True)
    arrays = [(p.name, p.value, p.grad) for p in net.parameters()] + [("input", x, dx)]
    for name, value, gradient in arrays:
        analytic, numeric = _sampled(loss, value, gradient, rng, samples)
        # beside kinks nothing can be compared, and what was not compared has not passed
        enough = len(analytic) >= min(samples, value.size) / 2
        error = relative_error(analytic, numeric) if enough else float("nan")
        yield Result(f"U-Net, depth {depth}, {variant}", name, value.shape, len(analytic), error)


def _sampled(loss, value, gradient, rng, samples) -> tuple[np.ndarray, np.ndarray]:
    """Analytic and numeric derivatives in some elements, those beside a kink left out."""
    analytic, numeric = [], []
    for flat in rng.permutation(value.size):
        index = np.unravel_index(flat, value.shape)
        wide, narrow = (difference(loss, value, index, step) for step in (STEP, STEP / 4))
        if abs(wide - narrow) <= 1e-6 * abs(wide) + 1e-9:
            analytic.append(gradient[index])
            numeric.append(wide)
        if len(analytic) == samples:
            break
    return np.array(analytic), np.array(numeric)
