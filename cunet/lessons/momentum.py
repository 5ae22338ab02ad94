"""Lesson: how gradients move the weights, and why the paper's momentum is 0.99."""

import math

import numpy as np

from cunet.lessons.parts import (
    Block,
    Check,
    Formula,
    Heading,
    Lines,
    Parts,
    Table,
    Text,
    apart,
)
from cunet.net.layers import Parameter
from cunet.net.sizes import output_size
from cunet.solvers.rates import LearningRate
from cunet.solvers.sgd import SGD

READ = ("cunet/solvers/sgd.py", "cunet/solvers/rates.py")

MU, RATE, DROP = 0.99, 1e-3, 600
STEP_NOISE = 3.0  # how far one tile's gradient is off, where the true one is 1


def moves(gradients: np.ndarray, rate: float | LearningRate, mu: float) -> np.ndarray:
    """How far each update of the package's solver moves one weight down."""
    weight, found = Parameter("weight", np.zeros(1)), []
    solver = SGD([weight], lr=rate, momentum=mu)
    for gradient in gradients:
        before = weight.value[0]
        weight.grad[:] = gradient
        solver.step()
        found.append(before - weight.value[0])
    return np.array(found)


def grown(rate: float, mu: float, updates: np.ndarray) -> np.ndarray:
    """The steps on a constant slope of 1 by the sum of the geometric series."""
    return rate * (1 - mu**updates) / (1 - mu)


def lesson() -> Parts:
    """Formula, numbers by hand, the sum of all gradients, the code, check, noise, Caffe."""
    yield Heading("The formula")
    yield Text(
        "Backward tells, for every weight W (any parameter: a number of a filter, or a bias), the "
        "derivative g of the loss. The loss falls if W moves against it: W <- W - rate * g, with "
        "a small number, the learning rate. This is gradient descent, and one such move of all "
        "weights an update. Momentum moves by a velocity V instead, which keeps a share mu of "
        "what it was:"
    )
    yield Formula(
        "V <- mu * V + rate * g\nW <- W - V",
        r"""
        \begin{aligned}
        V &\leftarrow \mu V + \mathit{rate} \cdot g \\
        W &\leftarrow W - V
        \end{aligned}
        """,
    )
    few = moves(np.ones(4), 0.1, 0.5)
    yield Text("With mu = 0.5, rate = 0.1, W = 0, and a gradient that is always 1:")
    yield Table(
        ("update", "V", "W"),
        [(f"{n}", f"{v:.4f}", f"{-w:.4f}") for n, v, w in zip(range(1, 5), few, few.cumsum(),
                                                              strict=True)],
    )  # fmt: skip
    yield Text(
        f"Check by hand: V is 0.1; then 0.5*0.1 + 0.1 = {few[1]:g}; then 0.5*{few[1]:g} + 0.1 = "
        f"{few[2]:g}. It grows towards 0.2."
    )

    yield Heading("What V is")
    yield Text(
        "Put the formula into itself: V after update t is rate * g(t) + mu * (rate * g(t - 1) + mu "
        "* (...)). So every gradient that ever was is in it, each older one with one more factor "
        "mu:"
    )
    yield Formula(
        "V(t) = rate * (g(t) + mu g(t - 1) + mu^2 g(t - 2) + ...)",
        r"V_t = \mathit{rate} \sum_{k \ge 0} \mu^k\, g_{t-k}",
    )
    half = math.log(0.5) / math.log(MU)
    yield Text(
        "The factors 1 + mu + mu^2 + ... add up to 1/(1 - mu), a geometric series. For mu = 0.99 "
        "that is 100: V is 100 times the rate, times a mean of about the last 100 gradients, in "
        f"which the newer ones count more (half of it is forgotten after {half:.0f} updates). "
        f"Where they agree, an update grows to rate/(1 - mu) = {RATE:g}/0.01 = "
        f"{RATE / (1 - MU):g}. So a rate that suits plain gradient descent is far too large for "
        "it."
    )
    large, small = (output_size(tile, 4) ** 2 / tile**2 for tile in (572, 252))
    yield Text(
        "Why does the paper want that (section 3)? As every tile loses 92 pixels on each side, "
        f"small tiles are a waste: {large:.0%} of the pixels of a tile of 572 get a class, but "
        f"{small:.0%} of those of 252. So it fills the graphics card's memory with one large "
        "tile: the batch of an update is a single image. But the gradient of one tile is a noisy "
        "estimate of the gradient of all data: it says what would help on this tile. Momentum "
        "0.99 lets about 100 tiles decide together, without any of them being kept in memory."
    )

    yield Heading("Line by line")
    yield Text("The solver has no backward; it is what uses the gradients. For every parameter:")
    yield Lines(
        "cunet.solvers.sgd:SGD.step",
        [
            (
                "p.grad *= rate * p.lr_mult",
                "rate * g; lr_mult is 1 for filters and 2 for biases, as in the authors' files",
            ),
            ("v *= self.momentum", "mu * V"),
            ("v += p.grad", "+ rate * g"),
            ("p.value -= v", "W <- W - V"),
            ("p.grad.fill(0)", "backward adds, so it must find 0 at the next update"),
        ],
    )

    yield Heading("Check")
    yield from _check()

    yield Heading("When the rate drops")
    yield from _caffe()


def _check() -> Parts:
    """The solver against the series, and what is left of noise."""
    n = np.arange(1, 601)
    steps = moves(np.ones(600), RATE, MU)
    yield Text(
        "Finite differences have nothing to say about a solver, but the series has: on a constant "
        "slope of 1 the n-th update must be rate * (1 - mu^n)/(1 - mu)."
    )
    yield Check("600 updates of the solver and the series", apart(steps, grown(RATE, MU, n)), 1e-12)
    rng = np.random.default_rng(0)
    noisy = 1 + STEP_NOISE * rng.standard_normal(20_000)
    means = moves(noisy, RATE, MU)[1000:] * (1 - MU) / RATE
    expected = STEP_NOISE * math.sqrt((1 - MU) / (1 + MU))
    yield Text(
        "And noise: let the true gradient be 1, and that of each tile be off by about "
        f"{STEP_NOISE:g} (the standard deviation of a normal random number). Of 20,000 such "
        f"gradients {np.mean(noisy < 0):.0%} have the wrong sign. Divided by rate/(1 - mu), the "
        f"velocities have the mean {means.mean():.3f} and are off by {means.std():.2f}, and "
        f"{np.mean(means < 0):.1%} point the wrong way. (Random errors add up as their squares; "
        "with the factors mu^k that gives the noise of one tile times the root of (1 - mu)/(1 + "
        f"mu), {expected:.2f}.)"
    )
    yield Check("what is left of the noise and the root", apart(means.std(), expected), 0.03)


def _caffe() -> Parts:
    """Where the rate stands matters once it changes."""
    rate = LearningRate(RATE, "step", gamma=0.1, stepsize=DROP)
    caffe, torch, velocity = moves(np.ones(1200), rate, MU), [], 0.0
    for update in range(1200):
        velocity = MU * velocity + 1
        torch.append(rate(update) * velocity)
    yield Text(
        "The formula is that of Caffe, where the rate is inside V. PyTorch, a library of today, "
        "writes V <- mu * V + g and W <- W - rate * V. It is the same as long as the rate stays as "
        f"it is. Here it drops to a tenth after {DROP} updates, on a constant slope of 1:"
    )
    lines = ["update    Caffe  PyTorch"]
    for i in (0, 1, 10, 68, 200, 599, 600, 610, 668, 800, 1199):
        if i == DROP:
            lines.append("------ the rate drops ------")
        marks = list(("#" * round(400 * caffe[i])).ljust(42))
        marks[round(400 * torch[i])] = "|"
        lines.append(f"{i + 1:6d}  {caffe[i]:.5f}  {torch[i]:.5f}  {''.join(marks).rstrip()}")
    lines.append(" " * 25 + "# Caffe, | PyTorch")
    yield Block("\n".join(lines))
    yield Check("before the drop, Caffe's and PyTorch's", apart(caffe[:DROP], torch[:DROP]), 1e-12)
    extra = caffe[DROP:].sum() - np.sum(torch[DROP:])
    more = extra / (0.1 * RATE / (1 - MU))
    yield Text(
        "After it Caffe's steps shrink as slowly as V forgets; PyTorch's at once, since its V "
        f"knows no rate. Caffe's weight goes {extra:.2f} further, as far as {more:.0f} steps of "
        "the new length. A training that is to be repeated must know which of the two it was."
    )


def exercise() -> Parts:
    """Another momentum."""
    yield Text(
        "With momentum 0.9, how many gradients does V average over, roughly? After how many "
        "updates has it forgotten half? Which rate lets the steps on a constant slope grow to the "
        "same 0.1 as rate 0.001 with momentum 0.99? And which of the two is faster at its full "
        "step?"
    )


def answer() -> Parts:
    """A tenth of everything."""
    mu = 0.9
    rate = RATE / (1 - MU) * (1 - mu)
    n = np.arange(1, 101)
    high, low = moves(np.ones(100), RATE, MU), moves(np.ones(100), rate, mu)
    yield Text(
        f"About 1/(1 - 0.9) = {1 / (1 - mu):.0f}; half is forgotten after log 0.5 / log 0.9 = "
        f"{math.log(0.5) / math.log(mu):.1f} updates; and the rate is 0.1 * (1 - 0.9) = {rate:g}. "
        "The shorter memory is faster:"
    )
    yield Table(
        ("update", "0.9, rate 0.01", "0.99, rate 0.001"),
        [(f"{i}", f"{low[i - 1]:.4f}", f"{high[i - 1]:.4f}") for i in (1, 10, 22, 100)],
    )
    yield Check("steps with 0.9 and the series", apart(low, grown(rate, mu, n)), 1e-14)
    yield Text("But it averages over a tenth of the tiles, and its steps are the more noisy.")
