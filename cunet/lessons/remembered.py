"""What the backwards of a small network remember, for the lesson `closures`: read out of their
closures, and counted in bytes by Python's tracemalloc."""

import inspect
import tracemalloc
from typing import Any

import numpy as np

from cunet.engines import definition
from cunet.net.layers import Conv, Maker, Pool
from cunet.net.run import Run


def small_network() -> list:
    """Convolution and ReLU, max-pooling, convolution."""
    make = Maker(seed=0, dtype="float64", device="cpu", engine=definition)
    return [Conv("first", 3, 1, 8, make), Pool(make), Conv("second", 3, 8, 2, make, relu=False)]


def image() -> np.ndarray:
    """Of 106x106 pixels: the layers return 104, 52 and 50."""
    return np.random.default_rng(0).standard_normal((1, 106, 106, 1))


def kept_arrays() -> list[tuple[str, str, str]]:
    """Each layer, the shapes of x and y, and the arrays in the closure of its backward."""
    x, table, run = image(), [], Run()
    for layer, what in zip(small_network(), ("conv + ReLU", "max-pool", "conv"), strict=True):
        y, backward = run(layer, x)
        found = inspect.getclosurevars(backward).nonlocals.items()
        kept = [f"{name} {_by(v)}" for name, v in sorted(found) if isinstance(v, np.ndarray)]
        table.append((what, f"{_by(x)} -> {_by(y)}", ", ".join(kept)))
        x = y
    return table


def _by(array: np.ndarray) -> str:
    return "x".join(map(str, array.shape))


def bytes_alive() -> list[tuple[str, str, str]]:
    """What is done, the bytes that are alive after it, and what they are."""
    layers, x = small_network(), image()

    def forward(remember: bool | str) -> tuple[np.ndarray, Any]:
        return Run(remember=remember).chain(layers, x)

    y, backward = forward(True)
    backward(np.ones_like(y))  # makes .grad, which stays
    del y, backward
    started = not tracemalloc.is_tracing()
    if started:
        tracemalloc.start()
    start = tracemalloc.get_traced_memory()[0]

    def alive() -> str:
        return f"{(tracemalloc.get_traced_memory()[0] - start) / 1e6:.2f} MB"

    try:
        y, backward = forward(True)
        table = [("forward", alive(), "y, and all that backward needs")]
        backward(np.ones_like(y))
        table.append(("backward", alive(), "it could be called once more"))
        del backward
        table.append(("del backward", alive(), "y alone"))
        y, backward = forward("once")
        backward(np.ones_like(y))
        table.append(('backward, remember="once"', alive(), "each layer let go when it had run"))
        y, backward = forward(False)
        table.append(("forward, remember=False", alive(), "nothing but y was ever kept"))
    finally:
        if started:
            tracemalloc.stop()
    return table
