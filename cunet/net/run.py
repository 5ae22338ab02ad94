"""One pass through a network: what is remembered of it, who watches, and whether it trains."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cunet.backend import Array
from cunet.errors import CunetError
from cunet.net.layers import Backward


@dataclass(frozen=True)
class Run:
    """rng is what dropout draws from, if anything; remember is True, "once" (backward runs once and
    frees as it goes) or False (no backward); watch(name, y) sees the output of every layer that has
    a name; train is whether batches are normalised by their own statistics."""

    rng: np.random.Generator | None = None
    remember: bool | str = True
    watch: Callable[[str, Array], None] | None = None
    train: bool = False

    def __call__(self, layer: Any, x: Array | tuple[Array, ...]) -> tuple[Array, Any]:
        """One layer; None in place of its backward where nothing is remembered."""
        y, backward = layer(x, self)
        if self.watch and hasattr(layer, "name"):
            self.watch(layer.name, y)
        if self.remember == "once":
            backward = once(backward)
        return y, backward if self.remember else None

    def chain(self, layers: Sequence, x: Array | tuple[Array, ...]) -> tuple[Array, Backward]:
        """Several layers, one after the other; the first is a convolution."""
        backwards = []
        for layer in layers:
            x, backward = self(layer, x)
            backwards.append(backward)

        def back(dy: Array, input_gradient: bool = True) -> Array | None:
            for backward in reversed(backwards[1:]):
                dy = backward(dy)
            return backwards[0](dy, input_gradient)

        return x, back


def once(backward: Backward) -> Backward:
    """backward, dropped with what its closure holds as soon as it has run: an array goes when the
    last layer that held it is done, and its memory serves gradients of earlier layers."""
    held = [backward]

    def run_and_drop(*arguments: Any) -> Any:
        if not held:  # only remember="once" comes here
            raise CunetError('backward: remember="once" allows one call; call the network again')
        return held.pop()(*arguments)

    return run_and_drop
