"""Lesson: the 2x2 up-convolution, and why it is called a transposed convolution."""

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
from cunet.ops import conv, up_conv

READ = ("cunet/ops/up_conv.py",)

X = np.array([[1.0, 2.0], [3.0, 4.0]])
W = np.array([[1.0, 10.0], [0.0, -1.0]])
DY = np.array([[1, 0, 2, 1], [3, 1, 0, -2], [0, 1, 1, 0], [2, 0, -1, 3]], float)


def forward(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """y of one channel, without a bias."""
    return up_conv.forward(x[None, :, :, None], w[:, :, None, None], np.zeros(1))[0, :, :, 0]


def backward(dy: np.ndarray, x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """dx and dw of one channel."""
    dx, dw, _ = up_conv.backward(dy[None, :, :, None], x[None, :, :, None], w[:, :, None, None])
    return dx[0, :, :, 0], dw[:, :, 0, 0]


def matrix(w: np.ndarray) -> np.ndarray:
    """The up-convolution of a 2x2 image as a matrix (16, 4): a column is what a 1 at one pixel of
    x gives."""
    return np.array([forward(unit.reshape(2, 2), w).ravel() for unit in np.eye(4)]).T


def lesson() -> Parts:
    """Formula, numbers, the matrix, backward as its transposed, check."""
    yield Heading("The formula")
    yield Text(
        "Max-pooling halves an image, and in the end there must be a result for every pixel. The "
        "up-convolution makes an image twice as high and twice as wide, in a way that is learned: "
        "every pixel of x is multiplied by all numbers of a 2x2 filter w, and the four products "
        "are a block of y. The blocks do not overlap; one begins every 2 pixels (stride 2 again)."
    )
    yield Formula(
        "y[2i + a, 2j + b] = bias + x[i, j] * w[a, b]     for a, b in {0, 1}",
        r"y_{2i+a,\,2j+b} = \mathit{bias} + x_{i,j}\; w_{a,b} \qquad a, b \in \{0, 1\}",
    )
    y = forward(X, W)
    yield Text("With one channel, and a bias of 0:")
    yield Arrays({"x": X, "w": W, "y": y})
    yield Text(
        f"Check one by hand: y[2, 1] lies in row 2 = 2*1 + 0 and column 1 = 2*0 + 1, so it is "
        f"x[1, 0] * w[0, 1] = {X[1, 0]:g}*{W[0, 1]:g} = {y[2, 1]:g}. Every pixel of x stamps the "
        "filter, times its value, onto a block of its own; mathematicians know it as the Kronecker "
        "product."
    )
    yield Check("y and the Kronecker product of x and w", apart(y, np.kron(X, W)), 0)

    yield Heading("Backward")
    yield Text(
        "Again y is made of products, and each passes dy on to both of its factors, times the "
        "other one. A pixel of x is in the four products of its block, and collects four terms. A "
        "number of w is in one product of every block, and collects as many as x has pixels:"
    )
    yield Formula(
        "dx[i, j] = sum over a, b of  dy[2i + a, 2j + b] * w[a, b]\n"
        "dw[a, b] = sum over i, j of  dy[2i + a, 2j + b] * x[i, j]\n"
        "dbias    = sum over all of dy",
        r"""
        \begin{aligned}
        dx_{i,j} &= \sum_{a,b} dy_{2i+a,\,2j+b}\; w_{a,b} \\
        dw_{a,b} &= \sum_{i,j} dy_{2i+a,\,2j+b}\; x_{i,j} \\
        d\mathit{bias} &= \sum_{p,q} dy_{p,q}
        \end{aligned}
        """,
    )
    yield Text(
        "In the code x[i, j] is a row of C channels, dy a row of K channels for each pixel, and "
        "w[a, b] a matrix of C rows and K columns:"
    )
    yield Lines(
        "cunet.ops.up_conv:backward",
        [
            ("for a, b in WINDOW:", "the four places of a block, as in max-pooling"),
            (
                "corner = dy[:, a::2, b::2]",
                "dy at place (a, b) of every block, so of the size of x: dy[2i + a, 2j + b] for "
                "all i, j",
            ),
            ("dx += corner @ w[a, b].T", "the first line: one of the four terms, for all pixels"),
            (
                "dw[a, b] = (x.swapaxes(2, 3) @ corner).sum((0, 1))",
                "the second line, summed as in the convolution: along a row by the matrix "
                "product, then over the rows and the images of the batch",
            ),
            ("return dx, dw, dy.sum((0, 1, 2))", "the third line: the bias went into every y"),
        ],
    )
    dx, dw = backward(DY, X, W)
    yield Arrays({"dy": DY, "dx": dx, "dw": dw})
    block = [f"{DY[a, b]:g}*{W[a, b]:g}" for a, b in np.ndindex(2, 2)]
    yield Text(f"By hand, from the block at the top left: dx[0, 0] = {' + '.join(block)} = "
               f"{dx[0, 0]:g}.")  # fmt: skip
    yield Text(
        "The name comes from here. For a fixed w, all of y depends linearly on all of x, so with "
        "the pixels written below each other it is a matrix A of 16 rows and 4 columns:"
    )
    a = matrix(W)
    yield Arrays({"A": a, "x": X.reshape(4, 1), "y_=_A_x": (a @ X.ravel())[:, None]})
    yield Text(
        "Then L changes with x[j] by the sum over i of dy[i] * A[i, j]. That is row j of A "
        "transposed (its rows and columns exchanged) times dy, so backward is dx = A^T dy:"
    )
    yield Arrays({"A^T_dy": (a.T @ DY.ravel()).reshape(2, 2)})
    yield Text(
        "And the formula of dx is that of a convolution, with the same 2x2 filter, which looks at "
        "every second place only. So the up-convolution does forward what such a convolution of "
        "stride 2 does backward, and the other way round: it is the transposed convolution."
    )

    yield Heading("Check")
    x, w = X.copy(), W.copy()
    dx_measured = measured(lambda: float((DY * forward(x, w)).sum()), x)
    dw_measured = measured(lambda: float((DY * forward(x, w)).sum()), w)
    yield Arrays({"dx_measured": dx_measured, "dw_measured": dw_measured})
    yield Check("dx of backward and measured", apart(dx, dx_measured), 1e-8)
    yield Check("dw of backward and measured", apart(dw, dw_measured), 1e-8)
    yield Check("dx of backward and A^T dy", apart(dx, (a.T @ DY.ravel()).reshape(2, 2)), 0)
    yield from _with_channels()


def _with_channels() -> Parts:
    """8 channels in and 4 out: the convolution of stride 2, and the rule of the transposed."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 5, 6, 8)), rng.standard_normal((2, 2, 8, 4))
    dy = rng.standard_normal((1, 10, 12, 4))
    dx, _, _ = up_conv.backward(dy, x, w)
    strided = conv.forward(dy, w.swapaxes(2, 3), np.zeros(8))[:, ::2, ::2]
    yield Text(
        "With 8 channels in and 4 out, and random numbers: backward is the convolution of dy with "
        "w, of which every second row and column is kept."
    )
    yield Check("dx of backward and a convolution of stride 2", apart(dx, strided), 1e-12)
    up, down = float((up_conv.forward(x, w, np.zeros(4)) * dy).sum()), float((x * dx).sum())
    yield Text(
        "A transposed matrix (or the adjoint of any linear map) is the one for which the sum of "
        "all (A x) * dy equals the sum of all x * (A^T dy), whatever x and dy are. Here the first "
        f"is {up:.9f} and the second {down:.9f}."
    )
    yield Check("the two sums", apart(up, down), 1e-10)


def exercise() -> Parts:
    """Nearest neighbours, forward and backward."""
    yield Text(
        "Which filter w makes every pixel of x a block of four equal pixels? What does backward do "
        "with it, in words, and what is dx for this dy?"
    )
    yield Arrays({"dy": DY})


def answer() -> Parts:
    """A filter of ones; backward adds up blocks."""
    ones = np.ones((2, 2))
    dx, _ = backward(DY, X, ones)
    yield Text("Ones. Each pixel of x went into four of y, so it gets the sum of their four dy:")
    yield Arrays({"x": X, "y": forward(X, ones), "dy": DY, "dx": dx})
    sums = np.add.reduceat(np.add.reduceat(DY, [0, 2], 0), [0, 2], 1)
    yield Check("dx and the sums of the blocks", apart(dx, sums), 0)
    yield Text(
        "This is what programs mean by enlarging an image without smoothing. The network may learn "
        "it, or something better."
    )
