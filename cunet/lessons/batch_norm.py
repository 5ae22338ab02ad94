"""Lesson: batch normalization, which later reproductions of the U-Net put before each ReLU."""

import numpy as np

from cunet.engines import cpu
from cunet.lessons.parts import (
    Arrays,
    Check,
    Formula,
    Heading,
    Lines,
    Parts,
    Table,
    Text,
    apart,
    measured,
)
from cunet.net.layers import Maker
from cunet.net.normed import BatchNorm
from cunet.net.run import Run
from cunet.ops import batch_norm

READ = ("cunet/ops/batch_norm.py", "cunet/net/normed.py")

X, GAMMA, BETA = np.array([1.0, 2.0, 4.0, 9.0]), 2.0, 0.5
DY = np.array([1.0, 0, 0, 0])
BATCHES = 61
TOLD = (0, 1, 5, 20, 60)


def channel(row: np.ndarray) -> np.ndarray:
    """A row of numbers as a batch of one image with one channel."""
    return row.reshape(1, 1, -1, 1)


def forward(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """y of a row, with its own statistics."""
    batch = channel(x)
    return batch_norm.forward(batch, gamma, beta, *batch_norm.statistics(batch)).ravel()


def backward(
    dy: np.ndarray, x: np.ndarray, gamma: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dx, dgamma and dbeta of a row."""
    batch = channel(x)
    dx, dgamma, dbeta = batch_norm.backward(
        channel(dy), batch, gamma, *batch_norm.statistics(batch)
    )
    return dx.ravel(), dgamma, dbeta


def layer() -> BatchNorm:
    """The layer of one channel, as a network makes it."""
    return BatchNorm("norm", 1, Maker(0, "float64", "cpu", cpu))


def running() -> list[tuple[str, ...]]:
    """Rows of the table: the running statistics, and how far a trained net's pass is from one in
    training, after so many batches of mean 1 and deviation 2."""
    rng, train, norm = np.random.default_rng(0), Run(train=True), layer()
    rows: list[tuple[str, ...]] = []
    for batch in range(BATCHES):
        images = 2 * rng.standard_normal((4, 16, 16, 1)) + 1
        used = norm(images)[0]  # any other pass
        mean, variance = norm.mean[0], norm.variance[0]
        far = apart(norm(images, train)[0], used)
        if batch in TOLD:
            rows.append((str(batch), f"{mean:.3f}", f"{variance:.3f}", f"{far:.3f}"))
    return rows


def lesson() -> Parts:
    """Four numbers normalised, their gradient, running statistics."""
    yield Heading("The formula")
    yield Text(
        "What a layer gets depends on all layers before it, and these change with every step. "
        "Batch normalization takes the mean of a channel off and divides by its deviation, "
        "whatever they are, and lets the network learn new ones, beta and gamma. The paper's net "
        "has none of it; many later ones do. Mean m and variance v are those of all M pixels that "
        "the channel has in the batch:"
    )
    yield Formula(
        "xhat = (x - m) / sqrt(v + 0.00001)\ny = gamma * xhat + beta",
        r"\hat x = \frac{x - m}{\sqrt{v + \varepsilon}}, \qquad y = \gamma\,\hat x + \beta",
    )
    gamma, beta = np.array([GAMMA]), np.array([BETA])
    m, v = (float(number[0]) for number in batch_norm.statistics(channel(X)))
    y = forward(X, gamma, beta)
    yield Text(f"A channel of four pixels, gamma = {GAMMA:g} and beta = {BETA:g}:")
    yield Arrays({"x": X, "xhat": (y - BETA) / GAMMA, "y": y})
    terms = " + ".join(f"{(value - m) ** 2:g}" for value in X)
    yield Text(
        f"By hand: m = (1 + 2 + 4 + 9) / 4 = {m:g}, v = ({terms}) / 4 = {v:g}, so y of the first "
        f"is {GAMMA:g} * (1 - {m:g}) / sqrt({v:g}) + {BETA:g} = {y[0]:.3f}. The mean of y is beta, "
        f"{y.mean():g}, and its deviation gamma, {y.std():.3f}. (The 0.00001 is there for channels "
        "that are the same everywhere.)"
    )

    yield Heading("Backward")
    yield Text(
        "gamma and beta are easy: y = gamma * xhat + beta, so dgamma is the sum of dy * xhat and "
        "dbeta the sum of dy. But an x goes three ways: into its own y, and through m and through "
        "v into every y of the channel. Write s = sqrt(v + 0.00001) and g = gamma * dy, what "
        "arrives at xhat. Since m = sum of x / M and v = sum of (x - m)^2 / M,"
    )
    yield Formula(
        "directly:    g / s\n"
        "through m:   dL/dm = -sum(g) / s,             dm/dx = 1 / M\n"
        "through v:   dL/dv = -sum(g xhat) / (2 s^2),  dv/dx = 2 (x - m) / M = 2 s xhat / M\n"
        "\n"
        "dx = (g - sum(g) / M - xhat sum(g xhat) / M) / s\n"
        "   = gamma / s * (dy - (dbeta + xhat dgamma) / M)",
        r"""
        \begin{aligned}
        \text{directly:}\quad & g / s \\
        \text{through } m:\quad & \frac{\partial L}{\partial m} = -\frac{1}{s}\sum g,
        \qquad \frac{\partial m}{\partial x} = \frac{1}{M} \\
        \text{through } v:\quad & \frac{\partial L}{\partial v} = -\frac{1}{2 s^2}\sum g\,\hat x,
        \qquad \frac{\partial v}{\partial x} = \frac{2\,(x - m)}{M} = \frac{2 s\,\hat x}{M} \\
        dx &= \frac{1}{s}\Bigl(g - \frac{1}{M}\sum g - \frac{\hat x}{M}\sum g\,\hat x\Bigr)
        = \frac{\gamma}{s}\Bigl(dy - \frac{d\beta + \hat x\,d\gamma}{M}\Bigr)
        \end{aligned}
        """,
    )
    yield Text(
        "(v also depends on m, but the derivative is -2 times the mean of x - m, which is 0.) "
        "The last line has dgamma and dbeta in it, which are needed anyway:"
    )
    yield Lines(
        "cunet.ops.batch_norm:backward",
        [
            ("xhat = (x - m) / deviation(v)", "computed again from x: nothing else is remembered"),
            (
                "dgamma, dbeta = (dy * xhat).sum((0, 1, 2)), dy.sum((0, 1, 2))",
                "sums over images, rows and columns; one number for each channel",
            ),
            ("count = x.size // x.shape[3]", "M"),
            (
                "return gamma / deviation(v) * (dy - (dbeta + xhat * dgamma) / count), "
                "dgamma, dbeta",
                "the last line of the derivation",
            ),
        ],
    )
    dx, dgamma, dbeta = backward(DY, X, gamma)
    yield Text("Only the first y is asked for, but every x moves it:")
    yield Arrays({"dy": DY, "dx": dx})
    xhat = (X - m) / np.sqrt(v)
    yield Text(
        f"By hand, the second: dbeta = 1 and dgamma = xhat of the first = {xhat[0]:.4f}, so dx = "
        f"2 / {np.sqrt(v):.4f} * (0 - (1 + {xhat[1]:.4f} * {xhat[0]:.4f}) / 4) = {dx[1]:.4f}. "
        f"All dx have the sum {abs(dx.sum()):.0e}, since moving all x together changes nothing, "
        f"and the sum of dx * (x - m) is {abs((dx * (X - m)).sum()):.0e}, since stretching all x "
        "changes nothing either (nearly: 0.00001 is not stretched)."
    )

    yield Heading("Check")
    x = X.copy()

    def loss() -> float:
        return float((DY * forward(x, gamma, beta)).sum())

    found = measured(loss, x)
    yield Arrays({"dx_measured": found})
    yield Check("dx of backward and measured", apart(dx, found), 1e-7)
    yield Check("dgamma of backward and measured", apart(dgamma, measured(loss, gamma)), 1e-7)
    yield Check("dbeta of backward and measured", apart(dbeta, measured(loss, beta)), 1e-7)
    image, train = np.random.default_rng(0).standard_normal((4, 16, 16, 1)), Run(train=True)
    bright, plain = layer()(7 * image + 3, train)[0], layer()(image, train)[0]
    yield Text(
        "So scale and shift of the input leave no trace. An image 7 times as strong, plus 3:"
    )
    yield Check("y of both", apart(bright, plain), 1e-4)

    yield Heading("Training and use differ")
    yield Text(
        "A trained network must work on one image alone, and give the same for it whatever else is "
        "in the batch. So running statistics take the batch's place: weighted means of those of "
        "past batches, the newest with 0.1. y is then a fixed scale and shift of x, and so is dx "
        "of dy. Here every batch has mean 1 and variance 4, and the running ones begin with 0 and "
        "1:"
    )
    head = ("batches", "running mean", "running variance", "largest difference of the two passes")
    yield Table(head, running())
    yield Text(
        "How near they come depends on the batch: the fewer images, the more each batch's "
        "statistics vary about those of the data. With one image for a step, as the paper trains, "
        "the pixels of that one tile are all there is."
    )


def exercise() -> Parts:
    """A bias before the normalization."""
    yield Text(
        "A convolution adds a bias to every pixel of a channel. What does the bias do where batch "
        "normalization comes next? What is its gradient? And what, instead, if the running "
        "statistics are used?"
    )


def answer() -> Parts:
    """Nothing, and 0."""
    gamma, beta = np.array([GAMMA]), np.array([BETA])
    moved = forward(X + 5, gamma, beta)
    yield Text(
        "Nothing: the mean is taken off, and the bias with it. x and x + 5 have the same y. Its "
        "gradient is the sum of dx (lesson conv), which is 0 for any dy:"
    )
    dy = np.array([3.0, -1.0, 4.0, 1.0])
    dx, _, _ = backward(dy, X, gamma)
    yield Arrays({"y_of_x": forward(X, gamma, beta), "y_of_x_+_5": moved})
    yield Arrays({"dy": dy, "dx": dx})
    yield Check("y of x and of x + 5", apart(forward(X, gamma, beta), moved), 1e-9)
    yield Check("the sum of dx, and 0", abs(float(dx.sum())), 1e-9)
    fixed = batch_norm.backward(
        channel(dy), channel(X), gamma, *batch_norm.statistics(channel(X)), own=False
    )[0]
    yield Text(
        "Therefore the convolution before it has none in this package (`BareConv` in "
        "cunet/net/normed.py); beta does its work. With running statistics m is a number that does "
        "not move with x: y would change, and the gradient would be gamma / s times the sum of dy, "
        f"here {fixed.sum():.3f}."
    )
