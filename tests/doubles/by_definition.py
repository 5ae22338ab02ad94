"""The two halves of a convolution's gradient by the definition, for kernels that do one of them."""

import numpy as np

from cunet.engines import definition


def by_data(dy, w, padding="valid"):
    """dx; of x only the shape matters."""
    n, rows, columns, _ = dy.shape
    grown = (0, 0) if padding == "same" else (w.shape[0] - 1, w.shape[1] - 1)
    x = np.zeros((n, rows + grown[0], columns + grown[1], w.shape[2]), dy.dtype)
    return definition.conv_backward(dy, x, w, padding=padding)[0]


def by_weights(dy, x, size, padding="valid"):
    """dw and db; of w only the shape matters."""
    channels = sum(image.shape[3] for image in x) if isinstance(x, tuple) else x.shape[3]
    w = np.zeros((*size, channels, dy.shape[3]), dy.dtype)
    return definition.conv_backward(dy, x, w, padding=padding, input_gradient=False)[1:]
