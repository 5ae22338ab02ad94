"""Every operation of a U-Net by its definition: float64 nested loops, nothing shared with cunet.

NumPy arrays serve as storage only. Everything here is slow and meant for images of a few pixels.

Letters: N images, H x W input pixels, C input channels, R x S filter taps, P x Q output pixels,
K output channels. Images are (N, H, W, C), filters (R, S, C, K).
"""

import itertools
import math

import numpy as np


def indices(*sizes):
    """All index tuples below the sizes, the last one fastest: as many nested loops as sizes."""
    return itertools.product(*(range(size) for size in sizes))


def stored(a):
    """A float64 copy as nested storage; the argument stays as it is."""
    return np.array(a, dtype=np.float64)


# Convolution: y[n,p,q,k] = b[k] + sum over r,s,c of x[n,p+r-top,q+s-left,c] w[r,s,c,k]


def output_size(size, taps, padding):
    """Output pixels along an axis."""
    if padding not in ("valid", "same"):
        raise ValueError(padding)
    return size if padding == "same" else size - taps + 1


def zeros_before(taps, padding):
    """Zeros before the first pixel of an axis; "same" puts the taps // 2 others behind the last."""
    return (taps - 1) // 2 if padding == "same" else 0


def conv_products(x_shape, w_shape, padding):
    """The seven loops of a convolution: each product's index into y, x and w."""
    n_images, height, width, channels = x_shape
    n_rows, n_columns, w_channels, n_out = w_shape
    if w_channels != channels:
        raise ValueError((x_shape, w_shape))
    top, left = zeros_before(n_rows, padding), zeros_before(n_columns, padding)
    out_height = output_size(height, n_rows, padding)
    out_width = output_size(width, n_columns, padding)
    for n in range(n_images):
        for p in range(out_height):
            for q in range(out_width):
                for k in range(n_out):
                    for r in range(n_rows):
                        for s in range(n_columns):
                            h, v = p + r - top, q + s - left
                            if not (0 <= h < height and 0 <= v < width):
                                continue
                            for c in range(channels):
                                yield (n, p, q, k), (n, h, v, c), (r, s, c, k)


def conv_forward(x, w, b, padding="valid"):
    """y (N, P, Q, K) of x (N, H, W, C), w (R, S, C, K) and b (K,) or None."""
    x, w = stored(x), stored(w)
    n_images, height, width, _ = x.shape
    n_rows, n_columns, _, n_out = w.shape
    size = (
        n_images,
        output_size(height, n_rows, padding),
        output_size(width, n_columns, padding),
        n_out,
    )
    y = np.zeros(size)
    for at_y, at_x, at_w in conv_products(x.shape, w.shape, padding):
        y[at_y] += x[at_x] * w[at_w]
    if b is not None:
        for n, p, q, k in indices(*size):
            y[n, p, q, k] += float(b[k])
    return y


def conv_backward_data(dy, w, x_shape, padding="valid"):
    """dx of x_shape (N, H, W, C)."""
    dy, w = stored(dy), stored(w)
    dx = np.zeros(x_shape)
    for at_y, at_x, at_w in conv_products(x_shape, w.shape, padding):
        dx[at_x] += dy[at_y] * w[at_w]
    return dx


def conv_backward_weights(x, dy, filter_size, padding="valid"):
    """dw (R, S, C, K) and db (K,); filter_size is R = S, or (R, S)."""
    x, dy = stored(x), stored(dy)
    n_rows, n_columns = (filter_size, filter_size) if np.isscalar(filter_size) else filter_size
    dw = np.zeros((n_rows, n_columns, x.shape[3], dy.shape[3]))
    for at_y, at_x, at_w in conv_products(x.shape, dw.shape, padding):
        dw[at_w] += dy[at_y] * x[at_x]
    db = np.zeros(dy.shape[3])
    for n, p, q, k in indices(*dy.shape):
        db[k] += dy[n, p, q, k]
    return dw, db


# ReLU: y = max(x, 0); its slope at 0 is 0


def relu_forward(x):
    x = stored(x)
    y = np.zeros(x.shape)
    for at in indices(*x.shape):
        y[at] = x[at] if x[at] > 0 else 0.0
    return y


def relu_backward(dy, x):
    """dx; x may be the input or the output of the forward pass."""
    dx = np.zeros(np.shape(x))
    for at in indices(*dx.shape):
        dx[at] = dy[at] if x[at] > 0 else 0.0
    return dx


# Max pooling of 2 x 2 pixels, stride 2: the first maximum in row-major order wins


def first_maximum(x, n, i, j, c):
    """The index of the window's first maximum."""
    best = (n, 2 * i, 2 * j, c)
    for a, b in indices(2, 2):
        at = (n, 2 * i + a, 2 * j + b, c)
        if x[at] > x[best]:
            best = at
    return best


def max_pool_forward(x):
    x = stored(x)
    n_images, height, width, channels = x.shape
    y = np.zeros((n_images, height // 2, width // 2, channels))
    for n, i, j, c in indices(*y.shape):
        y[n, i, j, c] = x[first_maximum(x, n, i, j, c)]
    return y


def max_pool_backward(dy, x):
    x, dy = stored(x), stored(dy)
    dx = np.zeros(x.shape)
    for n, i, j, c in indices(*dy.shape):
        dx[first_maximum(x, n, i, j, c)] += dy[n, i, j, c]
    return dx


# Up-convolution, 2 x 2, stride 2: y[n,2i+a,2j+d,k] = b[k] + sum over c of x[n,i,j,c] w[a,d,c,k]


def up_conv_forward(x, w, b):
    """y (N, 2H, 2W, K) of x (N, H, W, C), w (2, 2, C, K) and b (K,)."""
    x, w = stored(x), stored(w)
    n_images, height, width, channels = x.shape
    n_out = w.shape[3]
    y = np.zeros((n_images, 2 * height, 2 * width, n_out))
    for n, i, j, a, d, k in indices(n_images, height, width, 2, 2, n_out):
        total = float(b[k])
        for c in range(channels):
            total += x[n, i, j, c] * w[a, d, c, k]
        y[n, 2 * i + a, 2 * j + d, k] = total
    return y


def up_conv_backward(dy, x, w):
    """dx, dw and db."""
    dy, x, w = stored(dy), stored(x), stored(w)
    dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(w.shape[3])
    for n, i, j, a, d, k in indices(*x.shape[:3], 2, 2, w.shape[3]):
        g = dy[n, 2 * i + a, 2 * j + d, k]
        db[k] += g
        for c in range(x.shape[3]):
            dx[n, i, j, c] += g * w[a, d, c, k]
            dw[a, d, c, k] += g * x[n, i, j, c]
    return dx, dw, db


# Crop and concatenate: the up-sampled channels first, then the centre of the skip


def crop_concat_forward(up, skip):
    """(N, H, W, A + B) of up (N, H, W, A) and a larger skip (N, H', W', B), H' - H even."""
    up, skip = stored(up), stored(skip)
    n_images, height, width, n_up = up.shape
    top, left = (skip.shape[1] - height) // 2, (skip.shape[2] - width) // 2
    y = np.zeros((n_images, height, width, n_up + skip.shape[3]))
    for n, h, v, c in indices(*y.shape):
        y[n, h, v, c] = up[n, h, v, c] if c < n_up else skip[n, top + h, left + v, c - n_up]
    return y


def crop_concat_backward(dy, up_shape, skip_shape):
    """dup and dskip; the pixels that were cropped away get zero."""
    dy = stored(dy)
    dup, dskip = np.zeros(up_shape), np.zeros(skip_shape)
    top, left = (skip_shape[1] - up_shape[1]) // 2, (skip_shape[2] - up_shape[2]) // 2
    n_up = up_shape[3]
    for n, h, v, c in indices(*dy.shape):
        if c < n_up:
            dup[n, h, v, c] = dy[n, h, v, c]
        else:
            dskip[n, top + h, left + v, c - n_up] = dy[n, h, v, c]
    return dup, dskip


# Softmax and weighted cross entropy: loss = -sum w log p[label] / divisor


def softmax_loss(logits, labels, weights=None, ignore=None, normalize="weights"):
    """The loss and dlogits (N, P, Q, K) for labels and weights (N, P, Q).

    normalize: "weights" divides by the sum of the weights of the pixels that are not ignored,
    "pixels" by their number, "none" by 1. Where the divisor is zero, loss and gradient are zero.
    """
    logits = stored(logits)
    n_classes = logits.shape[3]
    loss, weight_sum, pixels = 0.0, 0.0, 0
    dlogits = np.zeros(logits.shape)
    for n, p, q in indices(*logits.shape[:3]):
        label = int(labels[n, p, q])
        if ignore is not None and label == ignore:
            continue
        weight = 1.0 if weights is None else float(weights[n, p, q])
        highest = max(logits[n, p, q, k] for k in range(n_classes))
        powers = [math.exp(logits[n, p, q, k] - highest) for k in range(n_classes)]
        total = math.fsum(powers)
        loss += weight * (math.log(total) - (logits[n, p, q, label] - highest))
        for k in range(n_classes):
            dlogits[n, p, q, k] = weight * (powers[k] / total - (1.0 if k == label else 0.0))
        weight_sum += weight
        pixels += 1
    divisor = {"weights": weight_sum, "pixels": float(pixels), "none": 1.0}[normalize]
    if divisor == 0:
        return 0.0, np.zeros(logits.shape)
    for at in indices(*logits.shape):
        dlogits[at] /= divisor
    return loss / divisor, dlogits


# Philox4x32-10 of Salmon, Moraes, Dror and Shaw (SC 2011), in Python's integers


def philox4x32_10(counter, key):
    """Four 32-bit words of a counter (4 words) and a key (2 words), the lowest word first."""
    x0, x1, x2, x3 = counter
    k0, k1 = key
    for _ in range(10):
        low, high = 0xD2511F53 * x0, 0xCD9E8D57 * x2
        x0, x1, x2, x3 = (
            (high >> 32) ^ x1 ^ k0,
            high & 0xFFFFFFFF,
            (low >> 32) ^ x3 ^ k1,
            low & 0xFFFFFFFF,
        )
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return x0, x1, x2, x3
