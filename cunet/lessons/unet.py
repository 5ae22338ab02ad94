"""Lesson: the U as a recursion - a U-Net is a level inside a level. Fig. 1 of the paper."""

import numpy as np

from cunet.engines import definition
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
    measured,
)
from cunet.lessons.u_shape import picture, sides
from cunet.net.figure1 import rows
from cunet.net.shape import Shape
from cunet.net.sizes import output_size, shrinkage
from cunet.net.tiles import smallest_tile
from cunet.net.unet import UNet

READ = ("cunet/net/unet.py", "cunet/net/sizes.py", "cunet/net/levels.py")

TILE, WIDTH, DEPTH = 572, 64, 4


def lesson() -> Parts:
    """What a level is, the picture, the sizes derived, backward, check, parameters."""
    yield Heading("The formula")
    yield Text(
        "All parts are there; this is how the paper puts them together. A level of the network "
        "works at one resolution. It contracts (two convolutions, each with a ReLU), hands its "
        "image, pooled to half the size, to the level below, enlarges what comes back, lays "
        "what it kept beside it, and expands (two convolutions again). The level below does the "
        "same; the last, the bottom, only contracts. So a U-Net is a level inside a level:"
    )
    yield Formula(
        "c        = contract[i](x)\n"
        "level[i] = expand[i](up(level[i + 1](pool(c))) | centre of c)\n"
        "bottom   = contract[depth](x)",
        r"""
        \begin{aligned}
        c &= \mathit{contract}_i(x) \\
        \mathit{level}_i(x) &= \mathit{expand}_i\bigl(\mathit{up}(\mathit{level}_{i+1}
        (\mathit{pool}(c))) \;\big|\; \text{centre of } c\bigr) \\
        \mathit{bottom}(x) &= \mathit{contract}_{\mathit{depth}}(x)
        \end{aligned}
        """,
    )
    yield Text(
        "After level 0 comes the head: a convolution with a filter of 1x1 pixel, which makes of "
        "the channels of each pixel its logits, one for each class. In the code x and the steps of "
        "the formula, each with its backward, as the lesson `closures` has it:"
    )
    yield Lines(
        "cunet.net.unet:UNet._level",
        [
            (
                "x, back_contract = run.chain(level.contract, x)",
                "c, from here on called x; run calls layers, one or a chain of them",
            ),
            ("if level.up is None:\n    return x, back_contract", "the bottom"),
            ("pooled, back_pool = run(level.pool, x)", "half the size"),
            (
                "y, back_below = self._level(i + 1, pooled, run)",
                "this function again, a level down",
            ),
            ("up, back_up = run(level.up, y)", "and back to this level's size"),
            (
                "y, back_expand = run.chain(level.expand, crop_concat.forward(up, x))",
                "the skip: x, which went down, also goes across",
            ),
        ],
    )
    yield Text(
        f"The paper's network has depth {DEPTH}, that is {DEPTH} poolings, and takes images of "
        f"{TILE}x{TILE} pixels, called tiles. The side of the image after every layer, watched in "
        "a network while it runs:"
    )
    yield Block(picture(TILE, DEPTH, WIDTH))
    yield Text(
        "At the left of a line stand its channels. From number to number: a 3x3 convolution and a "
        "ReLU, which takes 2 pixels. v: 2x2 max-pooling. ^: 2x2 up-convolution. ---> is the skip, "
        "and the number on it what is cropped off each of its sides. The left half is the "
        "contracting path, the right half the expanding path. Every pooling is followed by "
        "twice the channels, since there is a quarter of the pixels; every up-convolution halves "
        "them again."
    )
    yield from _sizes()

    yield Heading("Backward")
    yield Text(
        "The chain rule takes the lines of `_level` from the last to the first, and each one's "
        "backward. There is one place where a variable was used twice, x, and there its two "
        "gradients are added:"
    )
    yield Lines(
        "cunet.net.unet:UNet._level",
        [
            (
                "dy, dcentre = crop_concat.backward(back_expand(dy), up_channels)",
                "expand's convolutions, then cut in two: what goes down, and what goes across",
            ),
            (
                "dy = back_pool(back_below(back_up(dy)), dcentre)",
                "up-convolution, all levels below, pooling; and the pooling's backward adds "
                "dcentre, as in the lesson `skip`",
            ),
            ("return back_contract(dy, input_gradient)", "the two convolutions at the beginning"),
        ],
    )

    yield Heading("Check")
    yield from _check()

    yield Heading("Parameters")
    yield from _parameters()


def _sizes() -> Parts:
    """572 -> 388, derived."""
    yield Text(
        "Why 388? Let n be the side of the image that enters a level with d levels below it, and "
        "S(d) what the level takes from it in all. Two convolutions leave n - 4. Pooling leaves "
        "half of that, (n - 4)/2. The levels below take S(d - 1), and the up-convolution doubles "
        "what they return: 2 * ((n - 4)/2 - S(d - 1)) = n - 4 - 2 S(d - 1). So what is lost below "
        "counts double here. Two more convolutions leave n - 8 - 2 S(d - 1). The bottom only has "
        "the first two:"
    )
    yield Formula(
        "S(0) = 4,   S(d) = 8 + 2 S(d - 1)",
        r"S(0) = 4, \qquad S(d) = 8 + 2\, S(d - 1)",
    )
    lost = [shrinkage(d) for d in range(DEPTH + 1)]
    steps = ", ".join(f"8 + 2*{a} = {b}" for a, b in zip(lost, lost[1:], strict=False))
    yield Text(
        f"That is {lost[0]}, and then {steps}. So {TILE} - {lost[-1]} = "
        f"{output_size(TILE, DEPTH)}: each side of the tile loses {lost[-1] // 2} pixels, of which "
        "the network saw the surroundings but gives no class."
    )
    crops = [shrinkage(d) for d in range(DEPTH)]
    yield Text(
        "The crops are the same numbers. The skip has n - 4 pixels, and what came up n - 4 - 2 S(d "
        f"- 1), so S(d - 1) are cropped off each side: {', '.join(map(str, crops))} from the "
        "bottom up."
    )
    tiles = [smallest_tile(DEPTH) + k * 2**DEPTH for k in range(3)]
    yield Text(
        f"And not every tile fits: each pooling must find an even side. Those that do are "
        f"{', '.join(map(str, tiles))} ... in steps of 2^{DEPTH} = {2**DEPTH}."
    )
    measured_loss = []
    for depth in range(1, DEPTH + 1):
        tile = smallest_tile(depth)
        measured_loss.append(tile - sides(tile, depth)["head"])
    yield Check("S(1) ... S(4) and networks that ran", apart(lost[1:], measured_loss), 0)


def _check() -> Parts:
    """Finite differences through a whole network of depth 1."""
    net = UNet(width=2, depth=1, dtype="float64", seed=1, engine=definition)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 20, 20, 1))
    logits, backward = net(x)
    labels = rng.integers(0, 2, logits.shape[:3])
    dx = backward(net.loss(logits, labels)[1], input_gradient=True)
    found = {
        p.name: apart(p.grad, measured(lambda: _loss(net, x, labels), p.value, 1e-6))
        for p in net.parameters()
        if p.name.startswith(("contract0.conv1", "expand0.up"))
    }
    yield Text(
        "A whole network of depth 1 and width 2 on an image of 20x20 pixels: the loss of its 4x4 "
        "outputs with random labels, and finite differences by all numbers of some of its "
        "parameters and by a row of the image. (`cunet gradcheck` goes through all of them, and "
        "through deeper networks.)"
    )
    for name, error in found.items():
        yield Check(f"{name} of backward and measured", error, 1e-7)
    row = x[0, 10, :, 0]
    dx_measured = measured(lambda: _loss(net, x, labels), row, 1e-6)
    yield Check("row 10 of dx and measured", apart(dx[0, 10, :, 0], dx_measured), 1e-7)


def _loss(net: UNet, x: np.ndarray, labels: np.ndarray) -> float:
    return float(net.loss(net(x, remember=False), labels)[0])


def _parameters() -> Parts:
    """How many there are, level by level."""
    table = rows(Shape(WIDTH, DEPTH))
    first, second = table[1].parameters, table[2].parameters
    yield Text(
        "How many numbers does it learn? A 3x3 convolution from C channels to K has 9*C*K filters "
        f"and K biases. The first has 9*1*{WIDTH} + {WIDTH} = {first:,}, the second "
        f"9*{WIDTH}*{WIDTH} + {WIDTH} = {second:,}. An up-convolution has 4*C*K + K; and the "
        "convolution after a concatenation has twice the channels coming in."
    )
    total = sum(row.parameters for row in table)
    cells = []
    for i in range(DEPTH + 1):
        down, up = (
            sum(row.parameters for row in table if row.name.startswith(f"{half}{i}."))
            for half in ("contract", "expand")
        )
        share = f"{(down + up) / total:.1%}"
        channels = f"{WIDTH << i}"
        cells.append((f"level {i}", channels, f"{down:,}", f"{up:,}", f"{down + up:,}", share))
    head = table[-1].parameters
    cells += [("head", "2", "", f"{head:,}", f"{head:,}", f"{head / total:.1%}")]
    cells += [("together", "", "", "", f"{total:,}", "100.0%")]
    yield Table(("", "channels", "down", "up", "parameters", "share"), cells)
    layers = sum(row.parameters > 0 for row in table)
    yield Text(
        f"{total:,} parameters in {layers} convolutional layers. The bottom has the fewest pixels "
        "and nearly half of the parameters: where the channels double, C*K is four times as large."
    )
    net = UNet(width=8, depth=DEPTH)
    real = sum(p.value.size for p in net.parameters())
    formula = sum(row.parameters for row in rows(Shape(8, DEPTH)))
    yield Check("parameters of a network of width 8 and the formulas", apart(formula, real), 0)


def exercise() -> Parts:
    """Depth 2."""
    yield Text(
        "Draw the U for depth 2 and a tile of 60x60 pixels: every side, and what is cropped. Why "
        "does a tile of 62 not fit, and which is the next that does?"
    )


def answer() -> Parts:
    """The picture again, for depth 2."""
    yield Block(picture(60, 2, WIDTH))
    yield Text(
        f"60 - {shrinkage(2)} = {output_size(60, 2)}. A tile of 62 has 58 pixels after two "
        "convolutions, 29 after the pooling and 25 after two more: odd, and the second pooling "
        "finds no whole windows. With two poolings tiles come in steps of 4, so the next is 64."
    )
    yield Check(
        "64 - S(2) and a network that ran", apart(output_size(64, 2), sides(64, 2)["head"]), 0
    )
