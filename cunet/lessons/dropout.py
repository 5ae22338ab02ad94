"""Lesson: dropout, and a random mask that a key alone decides."""

import numpy as np

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
from cunet.ops import dropout
from cunet.philox import philox

READ = ("cunet/ops/dropout.py", "cunet/philox.py")

X = np.arange(1.0, 17.0).reshape(4, 4)
DY = np.array([[1, 2, 3, 4], [0, 1, 0, 1], [2, 2, 2, 2], [-1, -2, -3, -4]], float)
KEY, RATE, KEYS = 2015, 0.5, 1000
PUBLISHED = "6627e8d5 e169c58d bc57ac4c 9b00dbd8"  # Salmon et al. 2011, counter 0 under key 0


def lesson() -> Parts:
    """Formula, numbers, backward, check, the generator."""
    yield Heading("The formula")
    yield Text(
        "A network with millions of weights can learn its few training images by heart. Dropout "
        "makes that harder: in every training pass a random share of the numbers of an image "
        "inside the network, the rate, is set to 0, so that no layer can rely on a single one of "
        "them. In the paper it stands at the end of the contracting path. m is 0 for what is "
        "dropped and 1 for what is kept, one for each number; together they are the mask:"
    )
    yield Formula(
        "y = x * m / (1 - rate)      m = 0 with probability rate, else 1",
        r"y = \frac{x\, m}{1 - \mathit{rate}}, \qquad P(m = 0) = \mathit{rate}",
    )
    y = dropout.forward(X, RATE, KEY)
    yield Arrays({"x": X, "y": y})
    first = "kept, so y = 1 / (1 - 0.5) = 2" if y[0, 0] else "dropped, so y = 0"
    yield Text(
        f"Check one by hand: with rate {RATE:g} the first number, 1, is {first}. What is kept is "
        "scaled up so that the mean stays: y is x / (1 - rate) with probability 1 - rate, and else "
        "0, so on average y is x / (1 - rate) * (1 - rate) = x. Therefore nothing needs to be "
        "scaled when the trained network is used: then dropout is left out."
    )

    yield Heading("Backward")
    yield Text(
        "The mask does not depend on x. For each number, y is x times a constant, 0 or "
        "1 / (1 - rate), and the derivative is that constant:"
    )
    yield Formula(
        "dx = dy * m / (1 - rate)      with the same m", r"dx = \frac{dy\; m}{1 - \mathit{rate}}"
    )
    yield Lines(
        "cunet.ops.dropout:backward",
        [
            (
                "return dy * mask(dy, rate, key)",
                "the mask was not remembered, it is drawn again: the key, one number of 64 bits, "
                "decides all of it. dy has the shape of x, and no more is needed of x",
            )
        ],
    )
    yield Lines(
        "cunet.ops.dropout:mask",
        [
            (
                "kept = philox(array_module(x), 0, -(-x.size // 4), key) >= threshold(rate)",
                "random whole numbers below 2^32, four at a time, as many as x has elements; "
                "below rate * 2^32 the element is dropped",
            ),
            ("scaled = kept.astype(x.dtype) * x.dtype.type(1 / (1 - rate))", "m / (1 - rate)"),
        ],
    )
    dx = dropout.backward(DY, RATE, KEY)
    yield Arrays({"dy": DY, "y": y, "dx": dx})

    yield Heading("Check")
    yield Text("Finite differences of L = sum of dy * y, with the key held fixed:")
    x = X.copy()
    dx_measured = measured(lambda: float((DY * dropout.forward(x, RATE, KEY)).sum()), x)
    yield Check("dx of backward and measured", apart(dx, dx_measured), 1e-8)
    masks = [dropout.mask(X, RATE, key) for key in range(KEYS)]
    share, means = np.mean([m == 0 for m in masks]), np.mean(masks, 0) * X
    yield Text(
        f"Over {KEYS:,} keys {share:.2%} were dropped, and the mean of y / x is between "
        f"{(means / X).min():.2f} and {(means / X).max():.2f} for each of the 16 numbers."
    )
    yield Check("the mean of y / x and 1", apart(means / X, np.ones_like(X)), 0.15)
    yield from _generator(y)


def _generator(y: np.ndarray) -> Parts:
    """Philox: numbers by counter."""
    yield Heading("Random numbers by counter")
    yield Text(
        "Usual generators go from one state to the next, so that number 1,000,000 comes after "
        "all before it. Philox4x32-10 (Salmon et al. 2011) is a function: a counter and a key go "
        "in, four random words of 32 bits come out. So many threads or a GPU can draw their parts "
        "of one mask in any order, and all devices draw the same. Is it computed as published?"
    )
    words = " ".join(f"{word:08x}" for word in philox(np, 0, 1, 0)[0])
    yield Table(
        ("counter 0, key 0", "four words"), [("here", words), ("in the paper of Philox", PUBLISHED)]
    )
    theirs = [int(word, 16) for word in PUBLISHED.split()]
    yield Check("the four words", apart(philox(np, 0, 1, 0)[0].astype(np.int64), theirs), 0)
    first, second = (int(word) for word in philox(np, 0, 2, 0)[:, 0])
    i = 10
    word = philox(np, i // 4, i // 4 + 1, KEY)[0, i % 4]
    fate = "kept" if word >= dropout.threshold(RATE) else "dropped"
    yield Text(
        f"Counters 0 and 1 differ in one bit, the first words that they give in "
        f"{(first ^ second).bit_count()} of 32. And element {i} alone is word {i % 4} of counter "
        f"{i // 4}: {word:08x}, the limit is {dropout.threshold(RATE):08x}, so it is {fate}; "
        f"above, y says {y.ravel()[i]:g}."
    )


def exercise() -> Parts:
    """A mistake that is easily made."""
    yield Text(
        "With rate 0.75, which values can y have where x is 4, how often each, and what is the "
        "mean? And what if backward drew a new mask by mistake, with another key: where would dx "
        "be wrong, and how would you notice?"
    )


def answer() -> Parts:
    """0 or 16; and finite differences see it."""
    fours = np.full(KEYS, 4.0)
    y = dropout.forward(fours, 0.75, KEY)
    values = " and ".join(f"{value:g}" for value in np.unique(y))
    yield Text(
        f"4 / (1 - 0.75) = 16 in a quarter of all cases, else 0, and the mean is 16/4 = 4. Of "
        f"{KEYS:,} fours: the values {values}, {np.mean(y == 16):.1%} of them 16, mean "
        f"{y.mean():.2f}."
    )
    x = X.copy()
    right = measured(lambda: float((DY * dropout.forward(x, RATE, KEY)).sum()), x)
    wrong = dropout.backward(DY, RATE, KEY + 1)
    yield Arrays({"measured": right, "dx_with_another_key": wrong})
    yield Text(
        "dx is wrong where one mask keeps and the other drops, about half of all places. A "
        "training would still run, only worse; finite differences show it at once: here the "
        f"largest difference is {apart(right, wrong):.3g}."
    )
