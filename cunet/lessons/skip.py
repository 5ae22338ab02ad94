"""Lesson: the skip connection - crop, concatenate, and a gradient that comes back two ways."""

import numpy as np

from cunet.engines import cpu, definition
from cunet.lessons.parts import (
    Arrays,
    Block,
    Check,
    Formula,
    Heading,
    Lines,
    Parts,
    Text,
    apart,
    measured,
)
from cunet.net.figure1 import rows
from cunet.net.shape import Shape
from cunet.ops import conv, crop_concat, max_pool

READ = ("cunet/ops/crop_concat.py", "cunet/engines/definition.py", "cunet/net/unet.py")

SKIP = np.arange(36.0).reshape(6, 6)
UP = 100 + np.arange(4.0).reshape(2, 2)
X = np.array([[1, 3, 6, 5], [2, 0, 4, 8], [0, 9, 2, 1], [7, 1, 3, 4]], float)
DPOOLED = np.array([[10.0, 20.0], [30.0, 40.0]])
DCENTRE = np.array([[1.0, 2.0], [3.0, 4.0]])


def one(image: np.ndarray) -> np.ndarray:
    """(H, W) as a batch of one image of one channel."""
    return image[None, :, :, None]


def loss(x: np.ndarray) -> float:
    """A loss that x reaches on two ways; its derivatives by them are DPOOLED and DCENTRE."""
    pooled, centre = max_pool.forward(one(x)), crop_concat.centre(one(x), 2, 2)
    return float((one(DPOOLED) * pooled).sum() + (one(DCENTRE) * centre).sum())


def both_ways(dpooled: np.ndarray, dcentre: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dx as the package computes it: the pooling's backward, with what came across beside it."""
    y = max_pool.forward(one(x))
    return definition.pool_backward(one(dpooled), one(x), y, one(dcentre))[0, :, :, 0]


def across(dcentre: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The part of dx that comes across: dcentre where the centre was cut out, 0 around it."""
    dx = np.zeros_like(x)
    crop_concat.centre(one(dx), *dcentre.shape)[...] = one(dcentre)  # a view: written into dx
    return dx


def lesson() -> Parts:
    """Formula, numbers, no copy, the two ways of the gradient, check."""
    yield Heading("The formula")
    yield Text(
        "Pooling makes the network see far, and forget where exactly something was. So the U-Net "
        "keeps every image as it was before the pooling, and hands it across to where an "
        "up-convolution has reached that resolution again: a skip connection. The image that came "
        "up is smaller than the skip, since valid convolutions on its way took pixels from its "
        "borders: P x Q pixels, while the skip has H x W. The skip is therefore cropped to its "
        "centre, and the two are concatenated: laid on each other as the channels of one image."
    )
    yield Formula(
        "y[p, q] = (up[p, q] | skip[p + t, q + l])\n"
        "t = (H - P) / 2,  l = (W - Q) / 2\n"
        "|  means: the channels of the one, then those of the other",
        r"""
        y_{p,q} = \left(\mathit{up}_{p,q} \;\middle|\; \mathit{skip}_{p+t,\,q+l}\right) \qquad
        t = \tfrac{1}{2}(H - P), \quad l = \tfrac{1}{2}(W - Q)
        """,
    )
    pair = crop_concat.forward(one(UP), one(SKIP))
    yield Arrays({"skip": SKIP, "up": UP, "centre_of_skip": pair[1][0, :, :, 0]})
    yield Text(
        f"Check one by hand: t = l = (6 - 2)/2 = 2, so skip[2, 2] = {SKIP[2, 2]:g} lies beside "
        f"up[0, 0] = {UP[0, 0]:g}: the first pixel of y has the two channels {UP[0, 0]:g} and "
        f"{pair[1][0, 0, 0, 0]:g}."
    )
    yield from _no_copy()

    yield Heading("Backward")
    yield Text(
        "First the concatenation. It computes nothing: every number of y is a number of up or of "
        "the skip. So dy is cut where y was put together; the first channels are the gradient of "
        "up, the others that of the skip's centre. What was cropped off went nowhere, and gets "
        "nothing from here."
    )
    yield Lines(
        "cunet.ops.crop_concat:backward",
        [
            (
                "return dy[..., :up_channels], dy[..., up_channels:]",
                "... are all axes before the channels; both results are views of dy",
            )
        ],
    )
    yield Text(
        "Now the image x that was kept, the skip itself. It was used twice: it went down, into the "
        "pooling, and across, into the concatenation. The loss is a function of both, L(pooled(x), "
        "centre(x)). If one number of x moves, both may move, and the chain rule for a function of "
        "several variables adds up what each of them does to L:"
    )
    yield Formula(
        "dL     dL      dpooled     dL      dcentre\n"
        "--  =  ------- -------  +  ------- -------\n"
        "dx     dpooled dx          dcentre dx",
        r"""
        \frac{\partial L}{\partial x} =
        \underbrace{\frac{\partial L}{\partial\,\mathit{pooled}}
        \frac{\partial\,\mathit{pooled}}{\partial x}}_{\text{down}} +
        \underbrace{\frac{\partial L}{\partial\,\mathit{centre}}
        \frac{\partial\,\mathit{centre}}{\partial x}}_{\text{across}}
        """,
    )
    yield Text(
        "So the gradient of the skip comes back on two ways and is their sum. What comes back from "
        "below is dy of the pooling, and goes to one pixel of each window, the largest. What comes "
        "across is dcentre, laid where the centre was:"
    )
    dx, down, side = both_ways(DPOOLED, DCENTRE, X), loss_down(X), across(DCENTRE, X)
    yield Arrays({"x": X, "dpooled": DPOOLED, "dcentre": DCENTRE})
    yield Arrays({"down": down, "across": side, "dx_=_down_+_across": dx})
    yield Text(
        f"By hand: x[2, 1] = {X[2, 1]:g} is the largest of its window and gets {down[2, 1]:g} from "
        f"below; it lies in the centre and gets {side[2, 1]:g} from across; together "
        f"{dx[2, 1]:g}."
    )
    yield Text("In the package the pooling's backward is handed what came across, as `beside`:")
    yield Lines(
        "cunet.engines.definition:pool_backward",
        [
            ("dx = max_pool.backward(dy, x, y)", "down: dy is what came back from below"),
            (
                "if beside is not None:\n    add(beside, crop_concat.centre(dx, "
                "*beside.shape[1:3]))",
                "across: centre() is a view of dx, so adding to it adds to the middle of dx. This "
                "is the sum, and no array for the second way alone is ever made",
            ),
        ],
    )

    yield Heading("Check")
    yield Text(
        "Finite differences of L = sum of dpooled * pooled + sum of dcentre * centre; they know "
        "nothing of two ways. And the two ways computed apart:"
    )
    x = X.copy()
    dx_measured = measured(lambda: loss(x), x)
    yield Arrays({"dx_measured": dx_measured})
    yield Check("dx of the package and measured", apart(dx, dx_measured), 1e-8)
    yield Check("dx and the sum of the two ways", apart(dx, down + side), 0)
    yield from _which_pixels()


def loss_down(x: np.ndarray) -> np.ndarray:
    """The part of dx that comes up from the pooling."""
    y = max_pool.forward(one(x))
    return max_pool.backward(one(DPOOLED), one(x), y)[0, :, :, 0]


def _no_copy() -> Parts:
    """A pair of views stands for the concatenation, since a convolution sums over channels."""
    yield Text(
        "No number is moved for that. A convolution adds up over the channels, so one of (a | b) "
        "is the sum of one of a and one of b, each with its part of the filters. Therefore the "
        "function returns a pair, `up` itself and a view of the skip, a window onto its memory:"
    )
    yield Lines(
        "cunet.ops.crop_concat:forward",
        [
            (
                "return up, centre(skip, up.shape[1], up.shape[2])",
                "the pair stands for channels side by side; who convolves it knows what to do",
            )
        ],
    )
    rng = np.random.default_rng(0)
    up, skip = rng.standard_normal((1, 10, 10, 4)), rng.standard_normal((1, 18, 18, 4))
    w, bias = rng.standard_normal((3, 3, 8, 4)), rng.standard_normal(4)
    pair = crop_concat.forward(up, skip)
    shared = pair[0] is up and np.shares_memory(pair[1], skip)
    yield Text(f"Is the memory of the pair that of up and skip? {'Yes' if shared else 'No'}.")
    from_copy = conv.forward(np.concatenate(pair, axis=3), w, bias)
    from_pair = cpu.conv_forward(pair, w, bias)
    yield Check("convolution of the pair and of a copy", apart(from_copy, from_pair), 1e-12)
    top = next(row for row in rows(Shape()) if row.name == "expand0.concat")
    side, _, channels = top.shape
    yield Text(
        f"In the paper's network the largest such image has {side}x{side} pixels and {channels} "
        f"channels; a copy of it would take {top.bytes / 1e6:.1f} MB."
    )


def _which_pixels() -> Parts:
    """A larger skip: its frame gets a gradient on one way alone."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 18, 18, 1))
    y = max_pool.forward(x)
    dpooled, dcentre = rng.standard_normal(y.shape), rng.standard_normal((1, 10, 10, 1))
    alone = definition.pool_backward(dpooled, x, y)
    both = definition.pool_backward(dpooled, x, y, dcentre)
    differs = (alone != both)[0, :, :, 0]
    yield Text(
        f"For a skip of 18x18 pixels, cropped to 10x10, {differs.sum()} of {differs.size} pixels "
        "have a gradient from across (o), whether or not the pooling chose them (x). In the frame "
        "only what the pooling chose learns anything at all:"
    )
    chosen = (alone != 0)[0, :, :, 0]
    marks = np.array([[".", "x"], ["o", "8"]])[differs.astype(int), chosen.astype(int)]
    yield Block("\n".join(" ".join(row) for row in marks) + "\n\nx down   o across   8 both")


def exercise() -> Parts:
    """One way at a time."""
    yield Text(
        "Take x as above. What is dx if dcentre is 0 and dpooled all ones? If it is the other way "
        "round? And if both are ones? How many pixels of x would get no gradient at all in a "
        "network without the skip?"
    )
    yield Arrays({"x": X})


def answer() -> Parts:
    """Sums of zeros and ones."""
    none, ones = np.zeros((2, 2)), np.ones((2, 2))
    down, side = both_ways(ones, none, X), both_ways(none, ones, X)
    both = both_ways(ones, ones, X)
    yield Arrays({"dpooled_ones": down, "dcentre_ones": side, "both_ones": both})
    yield Check("both and the sum of the two", apart(both, down + side), 0)
    yield Text(
        f"Without the skip {np.sum(down == 0)} of 16 pixels would get none: three of each window. "
        f"With it there are {np.sum(both == 0)}, all of them outside the centre."
    )
