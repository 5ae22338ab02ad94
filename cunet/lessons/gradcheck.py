"""Lesson: how to know that a hand-written backward is right, and where it is wrong."""

from collections.abc import Callable
from unittest.mock import patch

import numpy as np

from cunet.engines import cpu
from cunet.lessons.parts import (
    Arrays,
    Block,
    Check,
    Formula,
    Heading,
    Lines,
    Parts,
    Table,
    Text,
    measured,
)
from cunet.net.gradcheck import LIMIT, STEP, Result, check_net, difference
from cunet.ops import crop_concat, relu

READ = ("cunet/net/gradcheck.py",)

DEPTH, SAMPLES = 2, 2
STEPS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10, 1e-12)


def error_of_cube(step: float, dtype: str) -> float:
    """By how much the difference quotient of v^3 at v = 1 misses the derivative, 3."""
    v = np.array([1], dtype)
    return abs(float(difference(lambda: v[0] ** 3, v, (0,), step)) - 3)


def bar(error: float) -> str:
    """Longer is better: two marks for every factor of ten below 1."""
    return "#" * max(0, round(-2 * np.log10(max(error, 1e-12))))


def rows(results: list[Result]) -> Block:
    """Arrays and their errors, a line for each."""
    return Block("\n".join(f"{r.array:24} {r.error:8.1e} {bar(r.error)}" for r in results))


def failing(module: object, name: str, wrong: Callable) -> list[Result]:
    """The arrays of the net that fail while module.name is the function `wrong`."""
    with patch.object(module, name, wrong):
        results = list(check_net(DEPTH, samples=SAMPLES))
    return [result for result in results if not result.error <= LIMIT]


def without_skip() -> list[Result]:
    """Those that fail where crop-and-concatenate forgets the skip's gradient."""
    right = crop_concat.backward

    def forgetful(dy: np.ndarray, up_channels: int) -> tuple[np.ndarray, np.ndarray]:
        dup, dcentre = right(dy, up_channels)
        return dup, np.zeros_like(dcentre)

    return failing(crop_concat, "backward", forgetful)


def twice(which: int) -> list[Result]:
    """Those that fail where the up-convolution's dx (0) or dw (1) is twice too large."""
    right = cpu.up_backward

    def doubled(*arguments: object, **named: object) -> tuple:
        found = list(right(*arguments, **named))
        found[which] = 2 * found[which]
        return tuple(found)

    return failing(cpu, "up_backward", doubled)


def lesson() -> Parts:
    """The step, the kinks, the whole net, a mistake."""
    yield Heading("The formula")
    yield Text(
        "Every lesson so far has ended with the same check: move one number v up and down by a "
        "small step h, and see how the loss L changes. Taylor's series says how good that is. The "
        "terms of even order are the same on both sides and cancel:"
    )
    yield Formula(
        "(L(v + h) - L(v - h)) / (2 h)  =  L'(v) + h^2 L'''(v) / 6 + ...",
        r"\frac{L(v + h) - L(v - h)}{2h} = L'(v) + \frac{h^2}{6} L'''(v) + \dots",
    )
    up, down = 1.1**3, 0.9**3
    yield Text(
        f"Check one by hand: L = v^3 at v = 1 has the derivative 3. With h = 0.1 the quotient is "
        f"(1.1^3 - 0.9^3) / 0.2 = ({up:.3f} - {down:.3f}) / 0.2 = {(up - down) / 0.2:.2f}, which "
        "is 3 + h^2. One side alone, (1.1^3 - 1) / 0.1, would give "
        f"{(up - 1) / 0.1:.2f}: its error goes with h, not with h^2."
    )

    yield Heading("How small a step")
    yield Text(
        "So make h tiny? No: a computer's L is rounded. In float64 that is about 1e-16 of L, which "
        "is divided by h. The two errors run against each other:"
    )
    yield Table(
        ("step h", "h^2", "1e-16 / h", "error in float64", "error in float32"),
        [
            (
                f"{h:.0e}",
                f"{h * h:.0e}",
                f"{1e-16 / h:.0e}",
                *(f"{error_of_cube(h, dtype):.0e}" for dtype in ("float64", "float32")),
            )
            for h in STEPS
        ],
    )
    best = min(STEPS, key=lambda h: error_of_cube(h, "float64"))
    yield Text(
        f"The best step lies where both are alike, near the third root of 1e-16; {best:.0e} in "
        f"this table. The package takes {STEP:g}. In float32, where a number has 7 digits, no step "
        "gives more than three or four right ones, and below 1e-7 v + h is v: therefore gradients "
        "are checked in float64, even where a network trains in float32."
    )
    apart = abs(error_of_cube(0.1, "float64") - 0.1**2)
    yield Check("the quotient's error and h^2 at h = 0.1", apart, 1e-12)

    yield Heading("What a difference cannot see")
    yield Text(
        "A ReLU has a kink at 0, where there is no derivative; backward says 0 there. Measured is "
        "the slope of the line between x - h and x + h, with a kink or without:"
    )
    x = np.array([-1, 0, 4e-6, 2])
    y = relu.forward(x)
    wide, narrow = (measured(lambda: float(relu.forward(x).sum()), x, h) for h in (STEP, STEP / 4))
    yield Arrays({"x": x, "backward": relu.backward(np.ones_like(x), y)})
    yield Arrays({f"measured,_h_=_{STEP:g}": wide, f"h_=_{STEP / 4:g}": narrow})
    by_hand = (x[2] + STEP) / (2 * STEP)
    yield Text(
        f"At x = 4e-6 the line reaches over the kink: (1.4e-5 - 0) / 2e-5 = {by_hand:.1f}. "
        "Backward is right, the measurement is not. Two steps give it away, since they disagree; "
        "so the check of a whole net measures every number twice and draws another one where the "
        "kink is near. Exactly at 0 both say 0.5. That is seldom hit by chance, but always by a "
        "network whose biases are all 0 and whose image is 0 somewhere; so the check starts from "
        "other biases. Max-pooling has kinks too, where two pixels are equal."
    )
    yield Text(
        "Two more things it cannot see. It compares backward with forward: a forward that computes "
        "something else than was meant, with the backward of that, passes. And a number whose "
        "gradient is 0 here and now, because a ReLU behind it is off, says nothing about that path."
    )

    yield Heading("A whole network")
    yield Text(
        "Layer for layer all is right: is it so for the net they make? The loss is now that of a "
        "U-Net (depth 2, width 2, dropout with the same keys in every pass, weighted loss), and v "
        "is a weight of any of its layers. Some lines of the check:"
    )
    yield Lines(
        "cunet.net.gradcheck:difference",
        [
            ("x[index] = kept + step", "one number of one array is moved, in place"),
            ("above = loss()", "and all of forward is computed again"),
            ("x[index] = kept", "afterwards it is what it was, to the last bit"),
            ("return (above - below) / (2 * step)", "the formula"),
        ],
    )
    yield Lines(
        "cunet.net.gradcheck:_sampled",
        [
            (
                "for flat in rng.permutation(value.size):",
                "a number takes four passes, so only some of an array are tried, at random: 12 by "
                f"`cunet gradcheck`, {SAMPLES} in this lesson",
            ),
            (
                "if abs(wide - narrow) <= 1e-6 * abs(wide) + 1e-9:",
                "two steps agree, so no kink is near",
            ),
        ],
    )
    yield Text(
        "Gradients differ in size from layer to layer, so the error is relative: a is what "
        "backward says of the numbers tried, n what was measured:"
    )
    yield Formula(
        "error = ||a - n|| / (||a|| + ||n||)",
        r"\text{error} = \frac{\lVert a - n \rVert}{\lVert a \rVert + \lVert n \rVert}",
    )
    results = list(check_net(DEPTH, samples=SAMPLES))
    yield rows(results)
    worst = max(result.error for result in results)
    yield Check(f"{len(results)} arrays, backward and measured, relative", worst, LIMIT)

    yield Heading("A mistake, and where it is")
    yield Text(
        "Now somebody writes crop-and-concatenate's backward and forgets the gradient of the skip: "
        "dup is right, dskip is 0. Everything still runs. These arrays fail:"
    )
    wrong = without_skip()
    yield rows(wrong)
    first = wrong[-2].array.rpartition(".")[0]
    yield Text(
        "Read it in the order of backward, from the head through the bottom to the input: all that "
        f"it meets before {first} is right. That layer's output went two ways, down and across, "
        "and its gradient is a sum of two: one of them is missing. An error spreads from the "
        "mistake to all that backward computes after it, and to nothing else."
    )


def exercise() -> Parts:
    """Two mistakes in one function."""
    yield Text(
        "The up-convolution's backward returns dx, dw and db. Suppose that in one program its dw "
        "is twice too large, in another its dx. Which arrays of the same U-Net fail in the first, "
        "which in the second? The order of forward is contract0, contract1, contract2 (the "
        "bottom), expand1.up, expand1, expand0.up, expand0, head."
    )


def answer() -> Parts:
    """Only its own filters; or all that lies before."""
    yield Text(
        "dw twice too large: nothing is computed from dw but the step of the solver. So only the "
        "up-convolutions' own filters fail. The error is |2 - 1| / (2 + 1) = 1/3, a number that "
        "gives a factor of two away:"
    )
    only = twice(1)
    yield rows(only)
    largest = max(abs(result.error - 1 / 3) for result in only)
    yield Check("these errors and 1/3", largest, 1e-6)
    yield Text(
        "dx twice too large: the layers before take it for their dy. expand0, its up-convolution "
        "and the head are right, since backward comes by them first; all else fails. What came "
        "through both up-convolutions is four times too large, (4 - 1) / (4 + 1) = 0.6. The "
        "contracting path has it in a sum with the skip's gradient, which is right:"
    )
    yield rows(twice(0))
