"""3x3 convolution on tensor cores: how it becomes the products that product.py launches.

Images and their gradients are activations (see cuda.py); filters, biases and their gradients are
float32. One thing differs from the definition. The input of a layer of the U-Net has come out of a
ReLU, perhaps through pooling or dropout, which keep its zeros; only the output of an up-convolution
has not. So conv_backward returns the gradient before that ReLU: it is zero wherever x is zero, and
the layer that made x need not use its output again. Nothing here waits for the GPU.
"""

from cunet.backend import Array, array_module
from cunet.engines.gpu.box_check import usable
from cunet.engines.gpu.elements import pack, plain
from cunet.engines.gpu.fresh import gradients_of
from cunet.engines.gpu.launches import launch_product
from cunet.engines.gpu.product import BIAS, RELU, REVERSE, launch_by_weights
from cunet.engines.gpu.sums import column_sums
from cunet.engines.gpu.weight_boxes import launch_weight_boxes
from cunet.engines.images import as_images, output_size, split_channels
from cunet.errors import CunetError


def conv_forward(
    x: Array | tuple[Array, ...],
    w: Array,
    b: Array,
    padding: str = "valid",
    relu: bool = False,
) -> Array:
    """y (N, P, Q, K), as definition.conv_forward."""
    pictures = check(x, w, padding)
    n, height, width, _ = pictures[0].shape
    (rows, columns), k = output_size(pictures[0], w), w.shape[3]
    y = array_module(w).empty((n, rows, columns, k), pictures[0].dtype)
    launch_product(
        "conv", pictures, pack(w, y.dtype, transposed=True), (w.shape[2], k * w.shape[2]),
        [y], (rows, columns), bias=plain(b), flags=BIAS | RELU * relu,
    )  # fmt: skip
    return y


def conv_backward(
    dy: Array,
    x: Array | tuple[Array, ...],
    w: Array,
    y: Array | None = None,
    padding: str = "valid",
    input_gradient: bool = True,
) -> tuple[Array | tuple[Array, ...] | None, Array, Array]:
    """dx (None where it is not wanted), dw and db, as definition.conv_backward.

    The gradient of this layer's own ReLU is already in dy, so y is not used.
    """
    # dx first: in a recorded step the filters that it needs lie where dw will be (recorded.py)
    dx = by_data(dy, w, x) if input_gradient else None
    dw, db = by_weights(dy, x, w.shape[:2], gradients_of(w))
    return dx, dw, db


def by_data(
    dy: Array, w: Array, x: Array | tuple[Array, ...] | None = None
) -> Array | tuple[Array, ...]:
    """dx (N, H, W, C); if x is passed, zero where x is (see the top of this file).

    Where x is a pair (up, skip) so is dx, and only the skip's gradient is masked.
    """
    xp, (n, rows, columns, k), c = array_module(dy), dy.shape, w.shape[2]
    height, width = rows + w.shape[0] - 1, columns + w.shape[1] - 1
    parts = as_images(x) if x is not None else None
    channels = [part.shape[3] for part in parts] if parts else [c]
    dx = [xp.empty((n, height, width, one), dy.dtype) for one in channels]
    launch_product(
        "conv", (dy,), pack(w, dy.dtype, transposed=False), (k, c * k), dx,
        (height, width), mask=parts[-1] if parts else None, pad=w.shape[0] - 1, flags=REVERSE,
    )  # fmt: skip
    return tuple(dx) if len(dx) > 1 else dx[0]


def by_weights(
    dy: Array,
    x: Array | tuple[Array, ...],
    size: tuple[int, int],
    into: tuple[Array | None, Array | None] = (None, None),
) -> tuple[Array, Array]:
    """dw (R, S, C, K) and db (K) in float32, for filters of size (R, S). into: arrays for them, by
    default new ones."""
    pictures, k = as_images(x), dy.shape[3]
    if usable(dy):
        return launch_weight_boxes(pictures, dy, into)
    c = sum(picture.shape[3] for picture in pictures)
    dw = launch_by_weights("conv", pictures, dy, (*size, c, k), into[0])
    return dw, column_sums(dy, into[1])


def check(x: Array | tuple[Array, ...], w: Array, padding: str) -> tuple[Array, ...]:
    """x as a tuple; CunetError where these kernels cannot take it."""
    pictures = as_images(x)
    split_channels(w, pictures)  # raises the error for other channels
    least = 16 // pictures[0].dtype.itemsize
    channels = [*(picture.shape[3] for picture in pictures), w.shape[3]]
    if padding != "valid" or any(one % least for one in channels):
        raise CunetError(
            f"tensor cores: expected padding 'valid' and channels in multiples of {least}, found "
            f"'{padding}' and {channels}; use precision float32"
        )
    return pictures
