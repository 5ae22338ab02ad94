"""Convolution on a GPU's tensor cores, by the kernels for its filters: those of the first layer,
of the head, or of all others."""

from types import ModuleType

from cunet.backend import Array
from cunet.engines.gpu import convolution, first_layer, head


def choose(w: Array) -> ModuleType:
    """The module with the kernels for filters w (R, S, C, K)."""
    if w.shape[:2] == (1, 1):
        return head
    return first_layer if w.shape[2] <= first_layer.MAX_IMAGE_CHANNELS else convolution


def conv_forward(
    x: Array | tuple[Array, ...], w: Array, b: Array, padding: str = "valid", relu: bool = False
) -> Array:
    """y (N, P, Q, K), as definition.conv_forward."""
    return choose(w).conv_forward(x, w, b, padding, relu)


def conv_backward(
    dy: Array,
    x: Array | tuple[Array, ...],
    w: Array,
    y: Array | None = None,
    padding: str = "valid",
    input_gradient: bool = True,
) -> tuple[Array | tuple[Array, ...] | None, Array, Array]:
    """dx or None, dw and db, as definition.conv_backward."""
    return choose(w).conv_backward(dy, x, w, y, padding, input_gradient)
