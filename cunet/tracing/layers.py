"""What a layer made of the tile, and what came back to it: arrays to look at, and their numbers.

    relative update = lr |dW| / |W|       |.|: the root of the sum of all squares

is how far one step of plain gradient descent would move the filters, as a share of their own size.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cunet.backend import Array, to_host
from cunet.engines.definition import side_by_side
from cunet.tracing.recording import Note

NAN = float("nan")


@dataclass(frozen=True)
class Layer:
    """The output (H, W, C) of a layer and the gradient of the loss with respect to it.

    kind     image, conv, norm, pool, up-conv or concat
    relu     whether a ReLU is the last thing in it
    weights, weight_gradient   its filters (of a normalization gamma), and the loss's gradient
    up_channels  of a concatenation: how many are up-sampled; the others came along the skip
    """

    name: str
    kind: str
    output: np.ndarray
    gradient: np.ndarray
    relu: bool = False
    weights: np.ndarray | None = None
    weight_gradient: np.ndarray | None = None
    up_channels: int | None = None

    def numbers(self, lr: float) -> dict[str, Any]:
        """Its entry in the document."""
        dead = self.dead
        found: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "shape": list(self.output.shape),
            "output": {
                "mean": float(self.output.mean(dtype=np.float64)),
                "deviation": float(self.output.std(dtype=np.float64)),
                "zeros": float((self.output == 0).mean()) if self.relu else None,
                "dead_channels": int(dead.sum()) if self.relu else None,
            },
            "gradient": {
                "mean": float(self.gradient.mean(dtype=np.float64)),
                "deviation": float(self.gradient.std(dtype=np.float64)),
                "norm": norm(self.gradient),
            },
            "weights": None,
        }
        if self.up_channels is not None:
            found["gradient"]["norm_of_upsampled"] = norm(self.gradient[..., : self.up_channels])
            found["gradient"]["norm_of_skip"] = norm(self.gradient[..., self.up_channels :])
        if self.weights is not None and self.weight_gradient is not None:
            size, change = norm(self.weights), norm(self.weight_gradient)
            update = lr * change / size if size else NAN
            found["weights"] = {"norm": size, "gradient_norm": change, "relative_update": update}
        return found

    @property
    def dead(self) -> np.ndarray:
        """(C,) which channels are 0 everywhere on this tile."""
        return np.logical_not(self.output.any((0, 1)))

    def channels(self, strongest: int, deadest: int) -> list[int]:
        """Some channels: those that vary most over the tile, and those that vary least."""
        order = np.argsort(-self.output.std((0, 1), dtype=np.float64), kind="stable").tolist()
        if len(order) <= strongest + deadest:
            return order
        return [*order[:strongest], *order[len(order) - deadest :]]


def norm(array: np.ndarray) -> float:
    """The root of the sum of all squares."""
    return float(np.sqrt(np.square(array, dtype=np.float64).sum()))


def layers_of(notes: list[Note], x: Array, dx: Array) -> Iterator[Layer]:
    """The layers of a pass in the order of the data, the image first; dx: the gradient of x."""
    yield Layer("input", "image", to_host(x)[0], to_host(dx)[0])
    pools = 0
    for note in notes:
        name = note.name
        if isinstance(note.x, tuple):  # a concatenation, whose gradient is the convolution's dx
            both, beside = to_host(side_by_side(note.x))[0], name.replace("conv1", "concat")
            back = to_host(note.dx)[0]
            yield Layer(beside, "concat", both, back, up_channels=note.x[0].shape[3])
        if note.kind == "norm":
            name += ".norm"
        elif note.kind == "pool":
            name, pools = f"contract{pools}.pool", pools + 1
        weights = None if note.w is None else to_host(note.w)
        change = None if note.dw is None else to_host(note.dw)
        y, dy = to_host(note.y)[0], to_host(note.dy)[0]
        yield Layer(name, note.kind, y, dy, note.relu, weights, change)
