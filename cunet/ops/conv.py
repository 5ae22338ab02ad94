"""Convolution by its definition: one matrix product for every filter tap (r, s).

    y[n, p, q, k] = b[k] + sum over r, s, c of  x[n, p + r, q + s, c] * w[r, s, c, k]

(a cross-correlation, as in Caffe and everywhere in deep learning). Shapes: x (N, H, W, C),
w (R, S, C, K), b (K), y (N, P, Q, K). "valid" uses only pixels that exist: P = H - R + 1,
Q = W - S + 1. "same" first surrounds x with zeros, (R - 1) // 2 before and R // 2 after, so
that P = H and Q = W.

x may also be a tuple of images, meaning their channels side by side: since
conv(a|b) = conv(a) + conv(b), a concatenation need never be copied.
"""

from cunet.backend import Array, array_module
from cunet.errors import CunetError
from cunet.ops.relu import backward as relu_backward
from cunet.ops.relu import forward as relu_forward
from cunet.threads import fixed_sums


@fixed_sums
def forward(
    x: Array | tuple[Array, ...], w: Array, b: Array, padding: str = "valid", relu: bool = False
) -> Array:
    """The convolution y (N, P, Q, K) of x with the filters w and biases b, with a ReLU if asked."""
    images = pad(as_images(x), w, padding)
    rows, columns = output_size(images[0], w)
    xp = array_module(w)
    y = xp.empty((images[0].shape[0], rows, columns, w.shape[3]), w.dtype)
    y[...] = b
    for image, filters in zip(images, split_channels(w, images), strict=True):
        for r in range(w.shape[0]):
            for s in range(w.shape[1]):
                y += image[:, r : r + rows, s : s + columns] @ filters[r, s]
    return relu_forward(y, out=y) if relu else y


@fixed_sums
def backward_data(dy: Array, w: Array, padding: str = "valid") -> Array:
    """The gradient dx (N, H, W, C): every product of the definition, read from y's side.

    y[p, q] took x[p + r, q + s] times w[r, s], so dx[p + r, q + s] gets dy[p, q] times w[r, s]^T.
    For a tuple of images C counts all their channels, in order.
    """
    check_padding(padding)
    (n, rows, columns, _), (height, width) = dy.shape, w.shape[:2]
    dx = array_module(dy).zeros((n, rows + height - 1, columns + width - 1, w.shape[2]), dy.dtype)
    for r in range(height):
        for s in range(width):
            dx[:, r : r + rows, s : s + columns] += dy @ w[r, s].T
    if padding == "same":  # the zeros around x have no gradient
        top, left = (height - 1) // 2, (width - 1) // 2
        dx = dx[:, top : top + rows, left : left + columns]
    return dx


@fixed_sums
def backward_weights(
    x: Array | tuple[Array, ...], dy: Array, size: tuple[int, int], padding: str = "valid"
) -> tuple[Array, Array]:
    """The gradients dw (R, S, C, K) and db (K) for filters of size (R, S).

    w[r, s, c, k] multiplied x[n, p + r, q + s, c] on its way to every y[n, p, q, k], so
    dw[r, s] = sum over n, p, q of  x[n, p + r, q + s]^T dy[n, p, q]; and b reached every y once.
    """
    xp, (_, rows, columns, k) = array_module(dy), dy.shape
    images = as_images(x)
    w_shape = (*size, sum(image.shape[3] for image in images), k)
    dw = xp.empty(w_shape, dy.dtype)
    for image, part in zip(pad(images, dw, padding), split_channels(dw, images), strict=True):
        for r in range(size[0]):
            for s in range(size[1]):
                tap = image[:, r : r + rows, s : s + columns]
                # (N, P) products (C, Q) @ (Q, K), then their sum: NumPy reads the view as it lies
                part[r, s] = (tap.swapaxes(2, 3) @ dy).sum((0, 1))
    return dw, dy.sum((0, 1, 2))


def backward(
    x: Array | tuple[Array, ...],
    dy: Array,
    w: Array,
    padding: str = "valid",
    input_gradient: bool = True,
    y: Array | None = None,
) -> tuple[Array | None, Array, Array]:
    """All gradients at once: dx (None where it is not wanted), dw and db.

    y is what a forward with ReLU answered; None where there was none.
    """
    dy = dy if y is None else relu_backward(dy, y)
    dw, db = backward_weights(x, dy, w.shape[:2], padding)
    return backward_data(dy, w, padding) if input_gradient else None, dw, db


def as_images(x: Array | tuple[Array, ...]) -> tuple[Array, ...]:
    """One image as a tuple of one."""
    return x if isinstance(x, tuple) else (x,)


def split_channels(w: Array, images: tuple[Array, ...]) -> list[Array]:
    """The filters w (R, S, C, K) as views, one for the channels of each image."""
    views, first = [], 0
    for image in images:
        views.append(w[:, :, first : first + image.shape[3]])
        first += image.shape[3]
    if first != w.shape[2]:
        raise CunetError(f"convolution: the filters expect {w.shape[2]} channels, x has {first}")
    return views


def pad(images: tuple[Array, ...], w: Array, padding: str) -> tuple[Array, ...]:
    """The images themselves for "valid", surrounded with zeros for "same"."""
    check_padding(padding)
    if padding == "valid":
        return images
    xp, (height, width) = array_module(images[0]), w.shape[:2]
    border = ((0, 0), ((height - 1) // 2, height // 2), ((width - 1) // 2, width // 2), (0, 0))
    return tuple(xp.pad(image, border) for image in images)


def check_padding(padding: str) -> None:
    """CunetError where padding is neither "valid" nor "same"."""
    if padding not in ("valid", "same"):
        raise CunetError(f"convolution: padding is 'valid' or 'same', found '{padding}'")


def output_size(image: Array, w: Array) -> tuple[int, int]:
    """(P, Q) of a valid convolution, or a CunetError where the filter is larger than the image."""
    rows, columns = image.shape[1] - w.shape[0] + 1, image.shape[2] - w.shape[1] + 1
    if rows < 1 or columns < 1:
        raise CunetError(
            f"convolution: a filter of {w.shape[0]}x{w.shape[1]} does not fit into an image of "
            f"{image.shape[1]}x{image.shape[2]} pixels"
        )
    return rows, columns
