"""Lesson: backpropagation without a graph - a layer returns its result and a function."""

import inspect
from collections.abc import Callable

import numpy as np

from cunet.lessons.parts import (
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
from cunet.lessons.remembered import bytes_alive, kept_arrays, small_network
from cunet.net.figure1 import rows
from cunet.net.run import Run
from cunet.net.shape import Shape
from cunet.ops.softmax_loss import loss as softmax_loss

READ = ("cunet/net/layers.py", "cunet/net/run.py")

Pair = tuple[float, Callable[[float], float]]


def square(x: float) -> Pair:
    """x * x, and its backward."""

    def backward(dy: float) -> float:
        return dy * 2 * x

    return x * x, backward


def five_times(x: float) -> Pair:
    """5 x, and its backward."""

    def backward(dy: float) -> float:
        return dy * 5

    return 5 * x, backward


def cube(x: float) -> Pair:
    """x ** 3, and its backward."""

    def backward(dy: float) -> float:
        return dy * 3 * x * x

    return x**3, backward


def lesson() -> Parts:
    """The idea, two functions by hand, the package's lines, what is remembered, memory."""
    yield Heading("The formula")
    yield Text(
        "A network is one layer after the other. Each layer so far had a backward that turns dy, "
        "the gradient of its output, into dx, the gradient of its input. And the output of a layer "
        "is the input of the next. So the dx of the last layer is the dy of the last but one, and "
        "so on to the first: backpropagation. It is the chain rule, from the outside to the inside:"
    )
    yield Formula(
        "y = f3(f2(f1(x)))\ndx = backward1(backward2(backward3(dy)))",
        r"""
        \begin{aligned}
        y &= f_3(f_2(f_1(x))) \\
        \frac{\partial L}{\partial x} &=
        \mathit{backward}_1(\mathit{backward}_2(\mathit{backward}_3(dy)))
        \end{aligned}
        """,
    )
    yield Text(
        "But backward3 needs the x of f3, which is known only when forward comes by. Where is "
        "it kept till then? Many libraries record a graph of all operations. Here a layer "
        "returns two things, its result and a function:"
    )
    yield Lines(
        "cunet.lessons.closures:square",
        [
            ("def backward(dy: float) -> float:", "made anew at every call of square"),
            (
                "return dy * 2 * x",
                "the derivative of x * x is 2x. x belongs to square, which has long returned when "
                "this runs: Python keeps it as long as the function is there. A function with the "
                "variables that it keeps is called a closure",
            ),
            ("return x * x, backward", "the result, and what will be needed on the way back"),
        ],
    )
    y, back_square = square(3)
    z, back_five = five_times(y)
    middle = back_five(1)
    dx = back_square(middle)
    yield Text(
        f"By hand, 5 x^2 at x = 3: forward, square gives 3*3 = {y:g} and five_times 5*{y:g} = "
        f"{z:g}. Backward begins with dz = 1: five_times makes 1*5 = {middle:g} of it, and square "
        f"{middle:g}*2*3 = {dx:g}. By the rules of school the derivative of 5 x^2 is 10 x = "
        f"{10 * 3}."
    )

    yield Heading("Backward")
    yield Text(
        "The layers of the package are the same with arrays. A convolution also has numbers of its "
        "own that are to be learned, the filters w and the biases b: its parameters. Each has an "
        "array .grad beside its value, of the same shape, in which its gradient is collected:"
    )
    yield Lines(
        "cunet.net.layers:Conv.__call__",
        [
            (
                "y = engine.conv_forward(x, w.value, b.value, self.padding, self.relu)",
                "forward: the convolution, and the ReLU if the layer has one. engine is the module "
                "that computes: the functions of the lessons so far, or faster ones of the same "
                "name",
            ),
            ("kept = y if self.relu else None", "the ReLU's backward needs y, no other does"),
            (
                "dx, dw, db = engine.conv_backward(dy, x, w.value, kept, self.padding, "
                "input_gradient)",
                "within backward: the three lines of the lesson `conv`",
            ),
            (
                "engine.add(dw, w.grad)",
                "added, not set: so several images can share one update of w, and so backward must "
                "not be called twice by mistake",
            ),
            ("return dx", "for the layer before this one"),
        ],
    )
    yield Text("A network needs no more than a list, read from its end:")
    yield Lines(
        "cunet.net.run:Run.chain",
        [
            ("x, backward = self(layer, x)", "forward, layer by layer: y is the next layer's x"),
            ("backwards.append(backward)", "and its backward is put on the list"),
            ("for backward in reversed(backwards[1:]):", "backward, from the last to the second:"),
            ("dy = backward(dy)", "the dx of a layer is the dy of the one before"),
            (
                "return backwards[0](dy, input_gradient)",
                "the first layer at last; it may leave out dx, since an image is not learned",
            ),
        ],
    )
    yield from _what_is_kept()

    yield Heading("Check")
    yield from _check()

    yield Heading("Memory")
    yield from _memory()


def _what_is_kept() -> Parts:
    yield Text(
        "A small network, as an example: a convolution with ReLU from 1 channel to 8, max-pooling, "
        "a convolution from 8 to 2. Its layers and what their backwards keep, read out of the "
        "closures (batch x rows x columns x channels):"
    )
    yield Table(("layer", "x -> y", "arrays kept"), kept_arrays())
    yield Text(
        "The y of one layer is the x of the next: one array with two names, kept once. The last "
        "convolution has no ReLU, so its y is not kept."
    )


def _check() -> Parts:
    """All gradients of the first filter; and that a second backward adds."""
    layers = small_network()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 10, 10, 1))
    y, backward = Run().chain(layers, x)
    labels = rng.integers(0, 2, y.shape[:3])

    def loss() -> float:
        return softmax_loss(Run(remember=False).chain(layers, x)[0], labels)[0]

    value, dy = softmax_loss(y, labels)
    backward(dy)
    filters = layers[0].w
    found = measured(loss, filters.value, 1e-5)
    yield Text(
        f"The same network on an image of 10x10 pixels, with the loss of the last lesson. It is "
        f"{value:.4f}. Its derivatives by the 9*8 = 72 numbers of the first layer's filters go "
        f"through all layers; for the one at row 1, column 1, channel 3 backward says "
        f"{filters.grad[1, 1, 0, 3]:+.9f}, and finite differences {found[1, 1, 0, 3]:+.9f}."
    )
    yield Check("dw of the first layer and measured", apart(filters.grad, found), 1e-8)
    before = filters.grad.copy()
    backward(dy)
    yield Check(".grad after a second backward and twice .grad", apart(filters.grad, 2 * before), 0)


def _memory() -> Parts:
    yield Text(
        "What a closure keeps is freed with it. Bytes alive for the example with 106x106 pixels, "
        "counted after each step:"
    )
    yield Table(("after", "alive", "which is"), bytes_alive())
    first, pooled, last = 104 * 104 * 8, 52 * 52 * 8, 50 * 50 * 2
    yield Text(
        f"By hand: the outputs of the three layers have 104*104*8 + 52*52*8 + 50*50*2 = "
        f"{first + pooled + last:,} numbers of 8 bytes, {8 * (first + pooled + last) / 1e6:.2f} "
        f"MB; y alone has {8 * last / 1e6:.2f} MB."
    )
    kept = sum(row.bytes for row in rows(Shape())[1:] if "concatenate" not in row.kind)
    weights = 4 * sum(row.parameters for row in rows(Shape()))
    yield Text(
        f"In the paper's network with its image of 572x572 pixels the outputs of all layers are "
        f"{kept / 1e9:.2f} GB, in numbers of 4 bytes, and the parameters {weights / 1e9:.2f} GB: "
        "what backward remembers is what limits the size of the image. To apply a trained "
        "network no backward is needed: remember=False, and only what is still to be used is "
        "alive."
    )


def exercise() -> Parts:
    """Two closures in a row."""
    yield Text(
        "Write the layer cube, y = x^3, as a closure like square. Then let square follow it, so "
        "that z = (x^3)^2. What are y and z at x = 2, which number does the backward of square "
        "return for dz = 1, and what does that of cube make of it? What does the closure of each "
        "keep?"
    )


def answer() -> Parts:
    """6 x^5, in two steps."""
    y, back_cube = cube(2)
    z, back_square = square(y)
    dy = back_square(1)
    dx = back_cube(dy)
    yield Lines(
        "cunet.lessons.closures:cube",
        [("return dy * 3 * x * x", "in backward"), ("return x**3, backward", "at the end of cube")],
    )
    kept = [inspect.getclosurevars(back).nonlocals["x"] for back in (back_cube, back_square)]
    yield Text(
        f"y = {y:g} and z = {z:g}. The backward of square returns 2*{y:g} = {dy:g}, and that of "
        f"cube {dy:g}*3*2*2 = {dx:g}. Indeed z = x^6, its derivative is 6 x^5, and 6*2^5 = "
        f"{6 * 2**5}. Each keeps its own x: cube {kept[0]:g}, square {kept[1]:g}."
    )
    yield Check("dx and 6 x^5", apart(dx, 6 * 2**5), 0)
