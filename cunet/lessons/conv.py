"""Lesson: what a convolution computes, and what its gradients are, on a 4x4 image."""

import numpy as np

from cunet.lessons.parts import (
    Arrays,
    Check,
    Formula,
    Heading,
    Lines,
    Parts,
    Text,
    apart,
    measured,
)
from cunet.ops import conv

READ = ("cunet/ops/conv.py",)

X = np.array([[1, 2, 0, 1], [0, 1, 3, 1], [2, 1, 0, 0], [1, 0, 1, 2]], float)
W = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]], float)  # brightness left minus right
BIAS = 0.5
DY = np.array([[1.0, 2.0], [0.0, -1.0]])


def forward(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """y of one channel. The package's arrays are (batch, rows, columns, channels) and (rows,
    columns, channels in, channels out)."""
    return conv.forward(x[None, :, :, None], w[:, :, None, None], np.array([BIAS]))[0, :, :, 0]


def backward(dy: np.ndarray, x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """dx, dw and db of one channel."""
    dx, dw, db = conv.backward(dy[None, :, :, None], x[None, :, :, None], w[:, :, None, None])
    return dx[0, :, :, 0], dw[:, :, 0, 0], db[0]


def lesson() -> Parts:
    """Formula, numbers, backward, check."""
    yield Heading("The formula")
    yield Text(
        "The U-Net (Ronneberger, Fischer and Brox 2015, in these lessons: the paper) takes an "
        "image and says for every pixel what it shows, such as cell or background. It is a neural "
        "network: a function made of simple steps, its layers, one after the other. An image goes "
        "into each layer and an image comes out, and what the layers compute is decided by numbers "
        "that are learned from examples. Most of the layers are convolutions."
    )
    yield Text(
        "A filter w of 3x3 numbers is laid on the image x. The pixels under it are multiplied by "
        "its numbers, the products are added up, and the sum, with a constant b (the bias) added, "
        "is one pixel of the result y. Then the filter moves on by a pixel:"
    )
    yield Formula(
        "y[p, q] = b + sum over r, s of  x[p + r, q + s] * w[r, s]",
        r"y_{p,q} = b + \sum_{r,s} x_{p+r,\,q+s}\; w_{r,s}",
    )
    y = forward(X, W)
    yield Arrays({"x": X, "w": W, "y": y})
    terms = [f"{X[r, s]:g}*{W[r, s]:g}" for r, s in np.ndindex(W.shape) if W[r, s]]
    yield Text(f"Check one by hand: y[0, 0] = {BIAS} + {' + '.join(terms)} = {y[0, 0]:g}.")
    yield Text(
        "A 3x3 filter fits into a 4x4 image at 2x2 places: a valid convolution makes an image 2 "
        "pixels smaller. This one subtracts what is right of a pixel from what is left of it."
    )

    yield Heading("Backward")
    yield Text(
        "Training asks: how does the loss L, one number that says how wrong the network is, change "
        "with every x and every w? These derivatives are the gradients dx, dw and db, of the same "
        "shapes as x, w and b. What comes after this layer has found its own, dy[p, q] = "
        "dL/dy[p, q]. The formula is a sum of products, and one rule is enough: in a product a*b, "
        "the derivative by a is b, and the derivative by b is a. y[p, q] took x[p + r, q + s] "
        "times w[r, s], so each of the two gets dy[p, q] times the other:"
    )
    yield Formula(
        "dx[p + r, q + s]  gets  dy[p, q] * w[r, s]\n"
        "dw[r, s]          gets  dy[p, q] * x[p + r, q + s]\n"
        "db                gets  dy[p, q]",
        r"""
        \begin{aligned}
        \frac{\partial L}{\partial x_{p+r,\,q+s}} &\mathrel{+}= dy_{p,q}\; w_{r,s} \\
        \frac{\partial L}{\partial w_{r,s}} &\mathrel{+}= dy_{p,q}\; x_{p+r,\,q+s} \\
        \frac{\partial L}{\partial b} &\mathrel{+}= dy_{p,q}
        \end{aligned}
        """,
    )
    yield Text(
        '"Gets" means that it is added: a pixel of x lies under the filter at up to nine places, '
        "goes into up to nine y, and collects a term from each (the chain rule's sum over all "
        "ways)."
    )
    yield Text(
        "In the code a pixel has more than one number: the channels of the image. A colour image "
        "has three, and inside the network there are up to 1,024, each looking for something else. "
        "So x[p, q] is a row of C numbers, y[p, q] a row of K, and w[r, s] a matrix with a row for "
        "each channel that comes in and a column for each that goes out. The first axis of x and y "
        "counts the images that are computed together, a batch. A tap is one place (r, s) of the "
        "filter, and @ the product of matrices:"
    )
    yield Lines(
        "cunet.ops.conv:backward",
        [
            (
                "place = slice(None), slice(r, r + rows), slice(s, s + columns)",
                "the part of x that tap (r, s) of the filter saw: as large as y, moved by (r, s)",
            ),
            (
                "dx[place] += dy @ w[r, s].T",
                "the first line of the formula, for all p and q at once; the matrix is transposed "
                "because backward goes from the outputs' channels to the inputs'",
            ),
            (
                "dw[r, s] = (x[place].swapaxes(2, 3) @ dy).sum((0, 1))",
                "the second line: the sum over all p and q is a matrix product for each row, and "
                "a sum over the rows",
            ),
            ("return dx, dw, dy.sum((0, 1, 2))", "the third line: the bias went into every y once"),
        ],
    )
    dx, dw, db = backward(DY, X, W)
    yield Text("With a dy that we make up, so that L = sum of dy * y:")
    yield Arrays({"dy": DY, "dw": dw, "dx": dx})
    rows = " + ".join(f"{DY[p, q]:g}*{X[p, q]:g}" for p, q in np.ndindex(DY.shape))
    yield Text(f"By hand: dw[0, 0] = {rows} = {dw[0, 0]:g}, and db = {db:g}, the sum of dy.")

    yield Heading("Check")
    yield Text(
        "Why believe it? A derivative is how much L changes when one number moves a little. So "
        "move every number of x and w up and down by 0.0001, one after the other, and divide the "
        "change of L by 0.0002. No formula of backward is in that, only forward:"
    )
    x, w = X.copy(), W.copy()
    dw_measured = measured(lambda: float((DY * forward(x, w)).sum()), w)
    dx_measured = measured(lambda: float((DY * forward(x, w)).sum()), x)
    yield Arrays({"dw_measured": dw_measured, "dx_measured": dx_measured})
    yield Check("dw of backward and measured", apart(dw, dw_measured), 1e-8)
    yield Check("dx of backward and measured", apart(dx, dx_measured), 1e-8)


def exercise() -> Parts:
    """A gradient that can be read off the formula."""
    yield Text(
        "Which pixels of x have any influence on y[1, 0]? Let dy be 1 there and 0 elsewhere: what "
        "is dx? First write it down, then look at the answer."
    )


def answer() -> Parts:
    """The filter itself, where it lay."""
    dy = np.zeros((2, 2))
    dy[1, 0] = 1
    dx, _, _ = backward(dy, X, W)
    yield Text(
        "The nine pixels under the filter at (1, 0): rows 1 to 3, columns 0 to 2. dx is 1 times "
        "the filter, laid there, and 0 elsewhere:"
    )
    yield Arrays({"dy": dy, "dx": dx})
    yield Text(
        "So the gradient of one output pixel with respect to the image shows what that pixel sees: "
        "its receptive field. In a whole network it is found in the same way."
    )
