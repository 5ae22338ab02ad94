"""Lesson: ReLU and max-pooling, which pass a gradient on or stop it, but never change it."""

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
from cunet.ops import max_pool, relu

READ = ("cunet/ops/relu.py", "cunet/ops/max_pool.py")

ROW = np.array([-2, -0.5, 0, 0.5, 2])
DROW = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
X = np.array([[1, 3, 6, 5], [2, 0, 4, 8], [9, 0, 2, 1], [7, 1, 3, 4]], float)
TIED = np.array([[1, 3, 5, 5], [2, 0, 5, 5], [0, 0, 7, 1], [0, 0, 1, 7]], float)
DY = np.array([[10.0, 20.0], [30.0, 40.0]])
SIGNED = np.array([[-3, 2, -1, -4], [2, 1, -2, -5], [0, 4, 3, -6], [-7, -1, 1, 2]], float)


def pool(x: np.ndarray) -> np.ndarray:
    """y of one channel."""
    return max_pool.forward(x[None, :, :, None])[0, :, :, 0]


def pool_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dx of one channel."""
    image = x[None, :, :, None]
    return max_pool.backward(dy[None, :, :, None], image, max_pool.forward(image))[0, :, :, 0]


def lesson() -> Parts:
    """Both formulas with numbers, where a gradient goes and why, check, what ties do."""
    yield Heading("The formula")
    yield Text(
        "Two layers follow a convolution, and neither has anything to learn. The ReLU (rectified "
        "linear unit) sets what is negative to 0. Without it many layers would be no more than "
        "one: a convolution of a convolution is a sum of products again, and so a (larger) "
        "convolution. With a kink between them that is no longer so."
    )
    yield Formula("y = max(x, 0)", r"y = \max(x, 0)")
    yield Arrays({"x": ROW, "y": relu.forward(ROW)})
    yield Text(
        "Max-pooling makes an image half as high and half as wide: of every 2x2 window only the "
        "largest number is kept. The windows do not overlap, since the window moves on by 2 "
        "pixels and not by one: its stride is 2. What follows sees twice as far with the same "
        "3x3 filter, on a quarter of the pixels."
    )
    yield Formula(
        "y[p, q] = max over a, b in {0, 1} of  x[2p + a, 2q + b]",
        r"y_{p,q} = \max_{a,b \in \{0,1\}} x_{2p+a,\,2q+b}",
    )
    yield Arrays({"x": X, "y": pool(X)})
    window = ", ".join(f"{value:g}" for value in X[:2, :2].ravel())
    yield Text(
        f"Check one by hand: y[0, 0] is the largest of {window}, which is {pool(X)[0, 0]:g}."
    )

    yield Heading("Backward")
    yield Text(
        "As for the convolution, dy is given, and dx is dy times the derivative of y by x (the "
        "chain rule). For the ReLU that derivative is 1 where x is above 0, since y is x there, "
        "and 0 where x is below, since y stays 0. At 0 itself there is none; any choice "
        "between 0 and 1 will do, and it is 0:"
    )
    yield Formula(
        "dx = dy  where x > 0,  else 0",
        r"dx = \begin{cases} dy & x > 0 \\ 0 & \text{otherwise} \end{cases}",
    )
    yield Lines(
        "cunet.ops.relu:backward",
        [
            (
                "return dy * (y > 0)",
                "y > 0 is 1 where it holds and 0 elsewhere. It holds exactly where x > 0, so y is "
                "all that must be remembered, and forward may write y over x",
            )
        ],
    )
    yield Arrays({"y": relu.forward(ROW), "dy": DROW, "dx": relu.backward(DROW, relu.forward(ROW))})
    yield Text(
        "For max-pooling look at one window, and move one of its four numbers by a little h. If it "
        "is the largest, y moves by the same h: the derivative is 1. If it is not, y does not "
        "notice: the derivative is 0. So the whole dy of a window goes to the one pixel that was "
        "passed on, and the other three get nothing:"
    )
    yield Formula(
        "dx[2p + a, 2q + b] = dy[p, q]  where x[2p + a, 2q + b] was the maximum,  else 0",
        r"""
        dx_{2p+a,\,2q+b} = \begin{cases}
        dy_{p,q} & x_{2p+a,\,2q+b} \text{ was the maximum} \\ 0 & \text{otherwise}
        \end{cases}
        """,
    )
    yield Text(
        "Where several are equal and the largest, the derivative does not exist: a step up of any "
        "of them raises y, a step down of one alone does not lower it. Caffe, the framework that "
        "the authors of the U-Net used, gives all of dy to the first in reading order, and so does "
        "the package:"
    )
    yield Lines(
        "cunet.ops.max_pool:backward",
        [
            ("dx = xp.empty(x.shape, dy.dtype)", "the four lines below fill all of it"),
            (
                "free = xp.ones(y.shape, bool)",
                "one answer for each window: has its maximum still not been met?",
            ),
            (
                "for a, b in WINDOW:",
                "the four places (0, 0), (0, 1), (1, 0), (1, 1) of a window, in reading order",
            ),
            (
                "hit = x[:, a::2, b::2] == y",
                "a::2 is every second row from a on: the pixel at place (a, b) of all windows at "
                "once. Is it the maximum? No index was stored; x and y show it",
            ),
            ("hit &= free", "only if no earlier place of its window was"),
            ("free ^= hit", "and the later places find the window no longer free"),
            ("xp.multiply(dy, hit, out=dx[:, a::2, b::2])", "dy where hit is true, else 0"),
        ],
    )
    dx = pool_backward(DY, X)
    yield Arrays({"x": X, "dy": DY, "dx": dx})
    yield Text(
        f"By hand: top left, 3 was the largest of its window, and gets the {DY[0, 0]:g}. Nothing "
        f"is lost and nothing doubled: the sum of dy is {DY.sum():g}, that of dx {dx.sum():g}."
    )

    yield Heading("Check")
    yield Text(
        "The same finite differences as for the convolution, of L = sum of dy * y; for the ReLU "
        "without the 0, where there is nothing to measure."
    )
    row, drow, x = np.delete(ROW, 2), np.delete(DROW, 2), X.copy()
    row_measured = measured(lambda: float((drow * relu.forward(row)).sum()), row)
    dx_measured = measured(lambda: float((DY * pool(x)).sum()), x)
    yield Arrays({"ReLU,_dx_measured": row_measured, "pooling,_dx_measured": dx_measured})
    yield Check(
        "dx of the ReLU and measured",
        apart(relu.backward(drow, relu.forward(row)), row_measured),
        1e-8,
    )
    yield Check("dx of max-pooling and measured", apart(dx, dx_measured), 1e-8)
    tied = TIED.copy()
    yield Text("And at ties? What is measured there is half of a step up and half of a step down:")
    yield Arrays(
        {
            "x": TIED,
            "dx": pool_backward(DY, TIED),
            "measured": measured(lambda: float((DY * pool(tied)).sum()), tied),
        }
    )
    yield Text(
        "Top right all four are 5, bottom right two are 7. The measured numbers of a window add up "
        "to more than its dy, so they are not to be had together; the rule's are."
    )
    features = relu.forward(np.random.default_rng(0).standard_normal((1, 400, 400, 1)))
    pooled = max_pool.forward(features)
    windows = np.stack([features[:, a::2, b::2] for a, b in max_pool.WINDOW])
    ties = (windows == pooled).sum(0) > 1
    yield Text(
        "How often does the rule decide? After a ReLU of random numbers half of the pixels are 0, "
        "so one window in 2*2*2*2 = 16 has nothing but zeros: "
        f"{ties.mean():.1%} of 40,000 windows were ties, and the largest tied number was "
        f"{pooled[ties].max():g}. There the ReLU before the pooling stops the gradient in any case."
    )


def exercise() -> Parts:
    """Whether the order of the two matters."""
    yield Text(
        "In the network a ReLU comes first and max-pooling after it. What would change if the "
        "pooling came first: in y, and in dx? Work it out for this x and dy, in both orders:"
    )
    yield Arrays({"x": SIGNED, "dy": DY})


def answer() -> Parts:
    """It does not, and the other order is cheaper."""
    rectified, pooled = relu.forward(SIGNED), pool(SIGNED)
    first = relu.backward(pool_backward(DY, rectified), rectified)
    other = pool_backward(relu.backward(DY, relu.forward(pooled)), SIGNED)
    yield Arrays({"y,_ReLU_first": pool(rectified), "y,_pooling_first": relu.forward(pooled)})
    yield Arrays({"dx,_ReLU_first": first, "dx,_pooling_first": other})
    yield Check("the two y", apart(pool(rectified), relu.forward(pooled)), 0)
    yield Check("the two dx", apart(first, other), 0)
    yield Text(
        "Nothing changes. The ReLU never puts a smaller number above a larger one, so the largest "
        "stays the largest; and where it makes a whole window 0, as top right, one of the two "
        "stops the gradient in either order. Pooling first would even save three quarters of the "
        "ReLU. But the image before the pooling is needed a second time, with its ReLU, as the "
        "lesson `skip` will show."
    )
