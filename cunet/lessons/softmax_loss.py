"""Lesson: from scores to probabilities to one number that says how wrong they are (eq. 1)."""

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
from cunet.ops import softmax_loss

READ = ("cunet/ops/softmax_loss.py",)

NAMES = ("right", "unsure", "wrong")
LOGITS = np.array([[0.0, 3.0], [0.0, 0.0], [4.0, 0.0]])  # (pixels, classes)
LABELS = np.array([1, 1, 1])
WEIGHTS = np.array([1.0, 1.0, 2.0])


def backward(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> tuple:
    """The loss, log p and dlogits of pixels in a row: (pixels, classes) and (pixels)."""
    image = logits[None, None]
    target, scale = softmax_loss.targets(image, labels[None, None], weights[None, None])
    loss, log_p = softmax_loss.forward(image, target, scale)
    return loss, log_p[0, 0], softmax_loss.backward(log_p, target, scale)[0, 0]


def obvious(logits: np.ndarray) -> np.floating:
    """-log p of class 1 as the formula is written."""
    with np.errstate(all="ignore"):  # that it overflows is what is to be seen
        return 0 - np.log(np.exp(logits) / np.exp(logits).sum())[1]


def lesson() -> Parts:
    """Formula, three pixels, backward, check, log-sum-exp."""
    yield Heading("The formula")
    yield Text(
        "At its end the network has, for every pixel, one number for each class, here 0 "
        "(background) and 1 (cell). These scores may be of any size and sign; they are called "
        "logits. The softmax makes them positive, by the exponential function, and divides by "
        "their sum, so that they are probabilities p and add up to 1. The label l is the class "
        "that the pixel really has, drawn by a person. A pixel costs -log p[l]: nothing "
        "where the network is sure of the label (p = 1), and more and more as p goes to 0. The "
        "loss is the mean of all costs, in which pixel i counts as its weight w says (the "
        "weights come with the lesson `weight-map`). It is called weighted cross-entropy, the "
        "paper's equation 1:"
    )
    yield Formula(
        "p[k] = exp(a[k]) / sum over j of exp(a[j])              at every pixel\n"
        "loss = - sum over pixels of w * log p[l]  /  norm       norm = sum of the weights w",
        r"""
        \begin{aligned}
        p_k &= \frac{\exp(a_k)}{\sum_j \exp(a_j)} \\
        L &= -\frac{1}{\mathit{norm}} \sum_i w_i \log p_{l(i)}(i), \qquad
        \mathit{norm} = \sum_i w_i
        \end{aligned}
        """,
    )
    loss, log_p, dlogits = backward(LOGITS, LABELS, WEIGHTS)
    p, costs = np.exp(log_p), -log_p[:, 1]
    yield Text("Three pixels, all with label 1:")
    yield Table(
        ("pixel", "a[0]", "a[1]", "p[0]", "p[1]", "label", "weight", "-log p[1]"),
        [
            (
                name,
                f"{a[0]:g}",
                f"{a[1]:g}",
                f"{q[0]:.3f}",
                f"{q[1]:.3f}",
                "1",
                f"{w:g}",
                f"{c:.3f}",
            )
            for name, a, q, w, c in zip(NAMES, LOGITS, p, WEIGHTS, costs, strict=True)
        ],
    )
    terms = " + ".join(f"{w:g}*{c:.3f}" for w, c in zip(WEIGHTS, costs, strict=True))
    yield Text(
        f"Check one by hand: exp(0) = 1 and exp(3) = {np.exp(3):.2f}, so the first p[1] is "
        f"{np.exp(3):.2f}/{1 + np.exp(3):.2f} = {p[0, 1]:.3f}. And the loss is ({terms}) / "
        f"{WEIGHTS.sum():g} = {loss:.6f}."
    )
    double = backward(LOGITS, LABELS, 2 * WEIGHTS)[0]
    yield Text(
        "As it is divided by the sum of the weights, only their ratios count: with all weights "
        f"doubled it is {double:.6f}."
    )

    yield Heading("Backward")
    yield Text(
        "The gradient begins here: the loss has no dy, since the derivative of L by itself is 1. "
        "Take the cost of one pixel, and let S be the sum of all exp(a[j]). The logarithm of a "
        "quotient is a difference, so log p[l] = log exp(a[l]) - log S = a[l] - log S. Its two "
        "parts by a[k]: a[l] has the derivative 1 if k is l, else 0, for which we write [k = l]. "
        "log S has 1/S times the derivative of S, in which a[k] occurs in one term alone: "
        "exp(a[k]) / S, and that is p[k]. So the derivative of the cost -log p[l] is p[k] - [k = "
        "l], and with the pixel's share in the mean:"
    )
    yield Formula(
        "dlogits[k] = w * (p[k] - [k = l]) / norm",
        r"\frac{\partial L}{\partial a_k} = \frac{w}{\mathit{norm}} \left(p_k - [k = l]\right)",
    )
    yield Lines(
        "cunet.ops.softmax_loss:backward",
        [
            (
                "one_hot = target[..., None] == xp.arange(log_p.shape[-1])",
                "[k = l] for all pixels and classes: target holds the labels, and is compared with "
                "0, 1, 2 ...",
            ),
            (
                "return (xp.exp(log_p) - one_hot) * scale[..., None]",
                "p - [k = l], times w / norm, which `targets` has made ready as scale",
            ),
        ],
    )
    yield Table(
        ("pixel", "p[0]", "p[1]", "dlogits[0]", "dlogits[1]"),
        [
            (name, f"{q[0]:.3f}", f"{q[1]:.3f}", f"{d[0]:+.3f}", f"{d[1]:+.3f}")
            for name, q, d in zip(NAMES, p, dlogits, strict=True)
        ],
    )
    yield Text(
        f"By hand, the last pixel: 2 * ({p[2, 1]:.3f} - 1) / {WEIGHTS.sum():g} = "
        f"{dlogits[2, 1]:+.3f}. A step against the gradient raises the label's logit and lowers "
        "the others, much where the network is wrong and hardly where it is right. Every row adds "
        "up to 0, as the p add up to 1: what one class gains the others lose."
    )

    yield Heading("Check")
    yield Text("The difference quotient of the loss for every logit:")
    logits = LOGITS.copy()
    dlogits_measured = measured(lambda: backward(logits, LABELS, WEIGHTS)[0], logits)
    yield Arrays({"dlogits": dlogits, "measured": dlogits_measured})
    yield Check("dlogits and measured", apart(dlogits, dlogits_measured), 1e-8)
    yield from _log_sum_exp()


def _log_sum_exp() -> Parts:
    """Why the obvious formula fails, and the form that does not."""
    yield Heading("Why log-sum-exp")
    yield Text(
        "Computed as it is written the formula fails. float32, the numbers of 32 bits in which "
        "networks are usually computed, end near 3e38: exp(89) is infinite, and exp(-104) is 0, "
        "whose logarithm is infinite. But a number m that is subtracted from all logits changes no "
        "p, since exp(a - m) = exp(a) / exp(m), and exp(m) cancels. With m = the largest logit, "
        "no exponential is above 1, and one of them is exp(0) = 1, so their sum is at least 1:"
    )
    yield Formula(
        "log p[k] = a[k] - m - log(sum over j of exp(a[j] - m))     m = max over j of a[j]",
        r"\log p_k = a_k - m - \log \sum_j \exp(a_j - m), \qquad m = \max_j a_j",
    )
    yield Lines(
        "cunet.ops.softmax_loss:forward",
        [
            ("log_p = logits - over_classes(xp.maximum, logits)", "a - m"),
            ("log_p -= xp.log(over_classes(xp.add, xp.exp(log_p)))", "minus the logarithm"),
        ],
    )
    yield Text("-log p[1] for the logits 0 and a[1], both ways, in float32:")
    table = []
    for a in (10, 80, 100, -80, -110, -1000):
        logits = np.array([0, a], np.float32)
        cost, _ = softmax_loss.loss(logits[None, None, None], np.ones((1, 1, 1), int))
        table.append((f"{a}", f"{obvious(logits):.3g}", f"{abs(cost):.3g}"))
    yield Table(("a[1]", "as written", "log-sum-exp"), table)


def exercise() -> Parts:
    """Three equal logits."""
    yield Text(
        "A pixel has three classes, the logits 0, 0, 0 and the label 2; it is the only one. "
        "Without a calculator: what are p, the loss (as a logarithm) and dlogits? What changes if "
        "all three logits are 5? And which loss do you expect of a network of two classes that has "
        "learned nothing?"
    )


def answer() -> Parts:
    """Thirds, and nothing changes."""
    label, weight = np.array([2]), np.ones(1)
    zeros = backward(np.zeros((1, 3)), label, weight)
    fives = backward(np.full((1, 3), 5.0), label, weight)
    yield Arrays({"p": np.exp(zeros[1]), "dlogits": zeros[2]})
    yield Text(
        f"All p are 1/3, the loss is log 3 = {np.log(3):.4f} (computed: {zeros[0]:.4f}), and "
        "dlogits is 1/3, 1/3 and 1/3 - 1. With three fives nothing changes: they were subtracted "
        "as the maximum."
    )
    yield Check("loss with zeros and log 3", apart(zeros[0], np.log(3)), 1e-12)
    yield Check("dlogits with zeros and with fives", apart(zeros[2], fives[2]), 0)
    two = backward(np.zeros((1, 2)), np.array([1]), weight)[0]
    yield Text(
        f"A network of two classes that knows nothing has a loss of about log 2 = {two:.3f}, and "
        "training should start near it."
    )
