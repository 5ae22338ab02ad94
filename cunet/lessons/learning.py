"""Lesson: everything together - a small U-Net learns one image by heart."""

from dataclasses import dataclass

import numpy as np

from cunet.data.synthetic import membranes
from cunet.data.weight_map import class_weights
from cunet.lessons.parts import (
    Block,
    Check,
    Formula,
    Heading,
    Lines,
    Parts,
    Picture,
    Table,
    Text,
    apart,
)
from cunet.net.layers import Parameter
from cunet.net.sizes import margin, output_size
from cunet.net.unet import UNet
from cunet.ops.softmax_loss import probability as softmax
from cunet.solvers.adam import Adam
from cunet.solvers.rates import LearningRate

READ = ("cunet/training/loop.py", "cunet/solvers/adam.py")

TILE, DEPTH, WIDTH, STEPS, EVERY = 108, 2, 8, 80, 10
LEARNED = 5  # the seed of the image
FASTEST = 0.005  # the rate at first
RATE, GRADIENTS = 0.1, (4.0, 2.0, 0.01)
PART = (slice(0, 66, 3), slice(0, 66, 3))  # of the pictures


@dataclass(frozen=True)
class Scene:
    """One image x (1, H, W, 1) and its labels (1, P, Q): 0 membrane, 1 cell."""

    x: np.ndarray
    labels: np.ndarray

    def probability(self, net: UNet) -> np.ndarray:
        """That of a cell (P, Q), by the network."""
        found: np.ndarray = softmax(net(self.x, remember=False))[0, :, :, 1]
        return found

    def wrong(self, net: UNet) -> tuple[float, float]:
        """The shares of wrong pixels: the network's, and that of the answer "cell" everywhere."""
        found, true = self.probability(net) > 0.5, self.labels[0] > 0
        return float((found != true).mean()), float((~true).mean())


@dataclass(frozen=True)
class Trained:
    """A network, and the loss and the rate of every step."""

    net: UNet
    losses: list[float]
    rates: list[float]

    def line(self, step: int) -> str:
        """What is told of a step, counted from 1."""
        rate, loss = self.rates[step - 1], self.losses[step - 1]
        return f"step {step:4}   rate {rate:.4f}   loss {loss:.4f}  {'#' * round(50 * loss)}"


def scene(seed: int) -> Scene:
    """A synthetic section, normalised."""
    images, truth = membranes(1, TILE, TILE, seed=seed)
    image = images[0].astype(np.float32)
    x = ((image - image.mean()) / image.std())[None, :, :, None]
    return Scene(x, (truth[:, middle(), middle()] > 0).astype(np.uint8))


def train(x: np.ndarray, labels: np.ndarray) -> Trained:
    """A network that is shown one image again and again."""
    net = UNet(width=WIDTH, depth=DEPTH, dropout=0, seed=0)
    weights = class_weights(labels, classes=2)[labels]
    solver = Adam(net.parameters(), lr=LearningRate(FASTEST, "cosine", max_iter=STEPS))
    losses, rates = [], []
    for _ in range(STEPS):
        logits, backward = net(x)
        loss, dlogits = net.loss(logits, labels, weights)
        backward(dlogits)
        rate = solver.step()
        losses.append(float(loss))
        rates.append(rate)
    return Trained(net, losses, rates)


def middle() -> slice:
    """The rows or columns of a tile that its output shows."""
    return slice(margin(DEPTH), margin(DEPTH) + output_size(TILE, DEPTH))


def kingma() -> list[float]:
    """The values that Adam gives to one number, as its paper writes it (algorithm 1)."""
    w, m, v, found = 1.0, 0.0, 0.0, []
    for t, g in enumerate(GRADIENTS, start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w -= RATE * (m / (1 - 0.9**t)) / (v / (1 - 0.999**t)) ** 0.5
        found.append(w)
    return found


def adams() -> list[float]:
    """The same by the package."""
    w, found = Parameter("w", np.ones(1)), []
    solver = Adam([w], lr=RATE)
    for g in GRADIENTS:
        w.grad[...] = g
        solver.step()
        found.append(float(w.value[0]))
    return found


def lesson() -> Parts:
    """Adam by hand, the loop, what it learned."""
    yield Heading("The solver")
    yield Text(
        "Momentum (lesson momentum) takes steps as large as the gradients are. But those of two "
        "layers may differ by a factor of a thousand, and one rate must serve them all. Adam "
        "divides every number's mean gradient m by the root of its mean squared gradient v: what "
        "is left is about 1, with a sign, and the rate says how far a number moves in a step:"
    )
    yield Formula(
        "m <- 0.9 m + 0.1 g          v <- 0.999 v + 0.001 g^2\n"
        "W <- W - rate * (m / (1 - 0.9^t)) / sqrt(v / (1 - 0.999^t))",
        r"""
        \begin{aligned}
        m &\leftarrow 0.9\,m + 0.1\,g, \qquad v \leftarrow 0.999\,v + 0.001\,g^2 \\
        W &\leftarrow W - \eta\; \frac{m / (1 - 0.9^t)}{\sqrt{v / (1 - 0.999^t)}}
        \end{aligned}
        """,
    )
    yield Text(
        "m and v start from 0, so after t steps they lack a share of 0.9^t and 0.999^t; the "
        "brackets make up for it. One number that starts at 1, with a rate of 0.1:"
    )
    values = adams()
    rows = zip(GRADIENTS, kingma(), values, strict=True)
    yield Table(
        ("step t", "gradient g", "W by the formula", "W by the package"),
        [
            (str(t), f"{g:g}", f"{formula:.6f}", f"{value:.6f}")
            for t, (g, formula, value) in enumerate(rows, 1)
        ],
    )
    yield Text(
        "By hand, the first step: m = 0.1*4 and v = 0.001*16, and the brackets are 0.1 and 0.001, "
        f"so W = 1 - 0.1 * 4 / sqrt(16) = {values[0]:.1f}. The first step is the rate, whatever "
        "the gradient. The third gradient is a four-hundredth of the first, and the step is still "
        f"{values[1] - values[2]:.2f}: m remembers those before."
    )
    yield Check("Adam by its paper's formula and the package", apart(values, kingma()), 1e-7)
    yield Lines(
        "cunet.solvers.adam:Adam.step",
        [
            ("m *= b1", "the old mean gradient, in place"),
            ("m += (1 - b1) * p.grad", "and the newest"),
            ("v += (1 - b2) * p.grad * p.grad", "the same for squares"),
            ("correction = math.sqrt(1 - b2**t) / (1 - b1**t)", "both brackets, for all numbers"),
            (
                "p.value -= rate * p.lr_mult * correction * m / root",
                "the step; root is sqrt(v) and a tiny number, so that nothing is divided by 0",
            ),
            ("p.grad.fill(0)", "backward adds to gradients, so they begin again from 0"),
        ],
    )

    yield Heading("The loop")
    learned = scene(LEARNED)
    training = train(learned.x, learned.labels)
    count = sum(p.value.size for p in training.net.parameters())
    yield Text(
        "The first test of any network: if it cannot learn one single tile by heart, something is "
        "wrong. Four lines are the whole of training:"
    )
    yield Lines(
        "cunet.lessons.learning:train",
        [
            ("logits, backward = net(x)", "forward; backward remembers what it needs"),
            ("loss, dlogits = net.loss(logits, labels, weights)", "eq. 1, and its gradient"),
            ("backward(dlogits)", "fills the gradient of every parameter"),
            ("rate = solver.step()", "moves every parameter, and empties its gradient"),
        ],
    )
    yield Text(
        f"A tile of {TILE} pixels gives {output_size(TILE, DEPTH)}; a net of {count:,} parameters, "
        f"{STEPS} steps; the rate falls from {FASTEST:g} to 0 along half a cosine:"
    )
    told = [step for step in range(1, STEPS + 1) if step == 1 or step % EVERY == 0]
    yield Block("\n".join(training.line(step) for step in told))
    yield Text(
        f"A probability of one half everywhere would cost ln 2 = {np.log(2):.4f}. (The loss of "
        "random weights may be more: they are sure of something wrong.)"
    )
    yield Check("the last loss, and 0", training.losses[-1], 0.15)

    yield Heading("What it learned")
    wrong, black = learned.wrong(training.net)
    probability = learned.probability(training.net)
    found, true = probability > 0.5, learned.labels[0] > 0
    dice = 2 * float((found & true).sum()) / float(found.sum() + true.sum())
    white = 1 - black
    everywhere = 2 * white / (1 + white)
    yield Table(
        ("", "the network", '"cell" everywhere'),
        [
            ("wrong pixels", f"{wrong:.4f}", f"{black:.4f}"),
            ("pixel error, 1 - Dice", f"{1 - dice:.4f}", f"{1 - everywhere:.4f}"),
        ],
    )
    grey = -learned.x[0, middle(), middle(), 0]
    yield Text(
        "Image, truth and prediction (every third pixel of a part; membranes are dark). Dice is "
        "twice the pixels that both call cell, divided by those of one and those of the other:"
    )
    truth, predicted = 1.0 - true, 1 - probability
    shown = {"image": grey[PART] / 4 + 0.5, "truth": truth[PART], "prediction": predicted[PART]}
    yield Picture(shown, 0, 1)
    yield Check("share of wrong pixels, and none", wrong, black / 4)


def exercise() -> Parts:
    """Another image."""
    yield Text(
        "By heart is not understanding. Show the trained network a second image of the same kind, "
        "which it has never seen: will it do better than calling all of it cell? And as well as on "
        "its own?"
    )


def answer() -> Parts:
    """Better than nothing, worse than by heart."""
    learned = scene(LEARNED)
    net = train(learned.x, learned.labels).net
    rows = []
    for name, seed in (("its own", LEARNED), ("another", 6), ("a third", 7)):
        wrong, black = scene(seed).wrong(net)
        rows.append((name, f"{wrong:.3f}", f"{black:.3f}", f"{wrong / black:.2f}"))
    yield Text("Wrong pixels, and those of one answer everywhere:")
    yield Table(("image", "the network", '"cell" everywhere', "ratio"), rows)
    yield Text(
        "Part of what it learned is true of any such image, that membranes are dark lines; part is "
        "this image alone. The difference is what more images help against, and bent ones (lesson "
        "elastic); and to see it at all, some images must be held out of training."
    )
