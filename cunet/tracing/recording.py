"""An engine that keeps what passes through it: how one looks at a pass without touching the net.

A layer knows nothing of a network but the functions of its engine, so whoever stands in the
engine's place sees everything: x and y of each forward, dy of each backward. `Recorder` hands each
call on to another engine - by default the definition, the operations as they are read in cunet/ops
- and keeps a note of it. Backward runs through the layers in the opposite order, so each of its
calls belongs to the newest note that has no dy yet.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

from cunet.backend import Array
from cunet.engines import definition


@dataclass
class Note:
    """One layer in one pass. Images are (N, H, W, C).

    kind  conv, up-conv, pool or norm; relu: whether a ReLU follows, of which y is the output
    x, y  what went in (for a convolution after a skip, the pair of images) and what came out
    w     its filters, of a normalization gamma; None of a pooling
    dy    the gradient of the loss with respect to y; dx and dw: to x and w, as backward found them
    """

    kind: str
    x: Array | tuple[Array, ...]
    y: Array
    w: Array | None = None
    relu: bool = False
    name: str = ""
    dy: Array | None = None
    dx: Array | None = None
    dw: Array | None = None


class Recorder:
    """The functions of an engine, with a note of each call of a layer."""

    def __init__(self, engine: ModuleType = definition):
        self.engine, self.notes = engine, list[Note]()

    def __getattr__(self, name: str) -> Any:
        """What is no layer: enter, add, predict ..."""
        return getattr(self.engine, name)

    def named(self, name: str, y: Array) -> None:
        """For watch= of a pass: the name of the layer that has just been called."""
        self.notes[-1].name = name

    def _forward(self, note: Note) -> Array:
        self.notes.append(note)
        return note.y

    def _backward(self, dy: Array, dx: Array | None, dw: Array | None = None) -> None:
        note = next(note for note in reversed(self.notes) if note.dy is None)
        note.dy, note.dx, note.dw = dy, dx, dw

    def conv_forward(self, x, w, b, padding="valid", relu=False):
        y = self.engine.conv_forward(x, w, b, padding, relu)
        return self._forward(Note("conv", x, y, w, relu))

    def conv_backward(self, dy, x, w, y=None, padding="valid", input_gradient=True):
        dx, dw, db = self.engine.conv_backward(dy, x, w, y, padding, input_gradient)
        self._backward(dy, dx, dw)
        return dx, dw, db

    def up_forward(self, x, w, b, relu=False):
        return self._forward(Note("up-conv", x, self.engine.up_forward(x, w, b, relu), w, relu))

    def up_backward(self, dy, x, w, y=None):
        dx, dw, db = self.engine.up_backward(dy, x, w, y)
        self._backward(dy, dx, dw)
        return dx, dw, db

    def pool_forward(self, x):
        return self._forward(Note("pool", x, self.engine.pool_forward(x)))

    def pool_backward(self, dy, x, y, beside=None):
        dx = self.engine.pool_backward(dy, x, y, beside)
        self._backward(dy, dx)
        return dx

    def norm_forward(self, x, gamma, beta, m, v):
        y = self.engine.norm_forward(x, gamma, beta, m, v)
        return self._forward(Note("norm", x, y, gamma, True))

    def norm_backward(self, dy, x, y, gamma, m, v, own=True):
        dx, dgamma, dbeta = self.engine.norm_backward(dy, x, y, gamma, m, v, own)
        self._backward(dy, dx, dgamma)
        return dx, dgamma, dbeta
