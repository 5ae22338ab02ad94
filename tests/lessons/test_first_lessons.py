"""The figures in lessons 1 to 9, against SciPy, loops, closed forms and counts by hand."""

import math
import re

import numpy as np
import pytest
from lesson_parts import arrays, checks, number_after, parts, tables, words
from scipy import ndimage, optimize, signal, special

from cunet.lessons.parts import Block
from cunet.net.unet import UNet


def test_conv():
    found, printed = arrays("conv"), words("conv")
    (x,), (w,), (y,) = found["x"], found["w"], found["y"]
    dy = found["dy"][0]
    np.testing.assert_array_equal(y, signal.correlate2d(x, w, "valid") + 0.5)
    assert number_after(printed, "+ 0*-1 =") == y[0, 0]
    expected = {"dw": signal.correlate2d(x, dy, "valid"), "dx": signal.convolve2d(dy, w)}
    for name, gradient in expected.items():
        np.testing.assert_array_equal(found[name][0], gradient)
        np.testing.assert_allclose(found[f"{name}_measured"][0], gradient, atol=1e-8)
        for row in gradient:
            assert " ".join(f"{value:g}" for value in row) in printed
    answer = arrays("conv", answer=True)
    np.testing.assert_array_equal(answer["dx"][0], np.pad(w, ((1, 0), (0, 1))))


def test_relu_and_max_pool():
    found = arrays("relu-and-max-pool")
    x, dy, dx = found["y"][0], found["dy"][0], found["dx"][0]
    np.testing.assert_array_equal(dx, [0, 0, 0, 4, 5])
    assert x[2] == 0 and dy[2] == 3  # at the kink nothing passes
    image, gradient, passed = found["x"][2], found["dy"][1], found["dx"][1]
    for p, q in np.ndindex(2, 2):
        window = np.s_[2 * p : 2 * p + 2, 2 * q : 2 * q + 2]
        chosen = image[window] == image[window].max()
        assert chosen.sum() == 1
        np.testing.assert_array_equal(passed[window], np.where(chosen, gradient[p, q], 0))
    tied, first, measured = found["x"][3], found["dx"][2], found["measured"][0]
    np.testing.assert_array_equal(first, [[0, 10, 20, 0], [0] * 4, [30, 0, 40, 0], [0] * 4])
    # half of dy at every maximum: a step up raises y, a step down alone does not lower it
    maxima = ndimage.maximum_filter(tied, 2, origin=-1)[::2, ::2].repeat(2, 0).repeat(2, 1)
    shares = np.array([[1, 0.5], [0.5, 0.5]]).repeat(2, 0).repeat(2, 1)
    dys = gradient.repeat(2, 0).repeat(2, 1)
    np.testing.assert_allclose(measured, np.where(tied == maxima, shares * dys, 0), atol=1e-7)
    printed = words("relu-and-max-pool")
    assert "sum of dy is 100, that of dx 100" in printed
    share = number_after(printed, "has nothing but zeros:")
    assert share == pytest.approx(100 / 16, abs=0.4)  # five standard deviations of 40,000
    assert number_after(printed, "the largest tied number was") == 0


def test_relu_and_max_pool_exchanged():
    found = arrays("relu-and-max-pool", answer=True)
    x = found["x"][0]
    expected = np.maximum(x, 0).reshape(2, 2, 2, 2).max((1, 3))
    np.testing.assert_array_equal(found["y,_ReLU_first"][0], expected)
    np.testing.assert_array_equal(found["y,_pooling_first"][0], expected)
    assert found["dx,_ReLU_first"][0][:2, 2:].sum() == 0  # the window without a positive number
    assert found["dx,_ReLU_first"][0].sum() == 10 + 30 + 40


def test_up_conv():
    found, printed = arrays("up-conv"), words("up-conv")
    x, w, dy = found["x"][0], found["w"][0], found["dy"][0]
    np.testing.assert_array_equal(found["y"][0], np.kron(x, w))
    blocks = dy.reshape(2, 2, 2, 2).swapaxes(1, 2)
    dx = (blocks * w).sum((2, 3))
    for name in ("dx", "A^T_dy"):
        np.testing.assert_array_equal(found[name][0], dx)
    np.testing.assert_array_equal(found["dw"][0], np.einsum("ij,ijab->ab", x, blocks))
    np.testing.assert_array_equal(found["A"][0] @ x.ravel(), np.kron(x, w).ravel())
    assert number_after(printed, "y[2, 1] lies in row 2 = 2*1 + 0 and column 1 = 2*0 + 1, so it "
                        "is x[1, 0] * w[0, 1] = 3*10 =") == np.kron(x, w)[2, 1]  # fmt: skip
    first, second = re.search(r"the first is (\S+) and the second (\S+)\. ", printed).groups()
    assert first == second and float(first) != 0
    np.testing.assert_array_equal(
        arrays("up-conv", answer=True)["dx"][0], dy.reshape(2, 2, 2, 2).sum((1, 3))
    )


def test_skip():
    found, printed = arrays("skip"), words("skip")
    np.testing.assert_array_equal(found["centre_of_skip"][0], [[14, 15], [20, 21]])
    assert "memory of the pair that of up and skip? Yes." in printed
    assert number_after(printed, "a copy of it would take") == round(392 * 392 * 128 * 4 / 1e6, 1)
    x, dpooled, dcentre = found["x"][0], found["dpooled"][0], found["dcentre"][0]

    def loss(flat):
        image = flat.reshape(4, 4)
        pooled = image.reshape(2, 2, 2, 2).max((1, 3))
        return (dpooled * pooled).sum() + (dcentre * image[1:3, 1:3]).sum()

    expected = optimize.approx_fprime(x.ravel(), loss, 1e-6).reshape(4, 4)
    dx = found["dx_=_down_+_across"][0]
    np.testing.assert_allclose(dx, expected, atol=1e-5)
    np.testing.assert_array_equal(found["across"][0], np.pad(dcentre, 1))
    np.testing.assert_array_equal(found["down"][0], dx - np.pad(dcentre, 1))
    assert "gets 30 from below" in printed and "gets 3 from across; together 33." in printed
    assert f"{10 * 10} of {18 * 18} pixels" in printed
    (picture,) = (part.text for part in parts("skip") if isinstance(part, Block))
    marks = np.array([line.split() for line in picture.split("\n")[:18]])
    both_ways = np.isin(marks, ["o", "8"])
    assert both_ways[4:14, 4:14].all() and both_ways.sum() == 100
    chosen = np.isin(marks, ["x", "8"]).reshape(9, 2, 9, 2).sum((1, 3))
    assert (chosen == 1).all()  # one pixel of each window
    answer = words("skip", answer=True)
    both = arrays("skip", answer=True)["both_ones"][0]
    assert f"there are {(both == 0).sum()}," in answer and "12 of 16" in answer


def test_softmax_loss():
    printed = words("softmax-loss")
    logits, weights = np.array([[0, 3], [0, 0], [4, 0]]), np.array([1, 1, 2])
    log_p = special.log_softmax(logits, axis=1)[:, 1]
    loss = -(log_p * weights).sum() / 4
    assert f"/ 4 = {loss:.6f}" in printed and f"doubled it is {loss:.6f}" in printed
    p = special.softmax(logits, axis=1)
    expected = (p - [0, 1]) * weights[:, None] / 4
    np.testing.assert_allclose(arrays("softmax-loss")["dlogits"][0], expected, atol=1e-12)
    np.testing.assert_allclose(arrays("softmax-loss")["measured"][0], expected, atol=1e-8)
    values, gradients, both = tables("softmax-loss")
    for row, given, q, cost in zip(values.rows, logits, p, -log_p, strict=True):
        assert [float(cell) for cell in row[1:3]] == [*given]
        np.testing.assert_allclose([float(c) for c in row[3:5]], q, atol=5e-4)
        assert float(row[7]) == pytest.approx(cost, abs=5e-4)
    shown = [[float(cell) for cell in row[3:]] for row in gradients.rows]
    np.testing.assert_allclose(shown, expected, atol=5e-4)
    table = {int(row[0]): row[1:] for row in both.rows}
    for a, (obvious, stable) in table.items():
        true = np.logaddexp(0, -a) if a > 0 else -a
        # what is 0 in float32 beside 1 is lost in either form
        assert float(stable) == pytest.approx(true, rel=5e-3, abs=1e-7)
        if a in (100, -110, -1000):
            assert not math.isfinite(float(obvious))
    assert table[100][0] == "nan" and table[-1000] == ("inf", "1e+03")
    answer = arrays("softmax-loss", answer=True)
    np.testing.assert_allclose(answer["dlogits"][0], [[1 / 3, 1 / 3, -2 / 3]])


def test_closures():
    printed = words("closures")
    kept, memory = tables("closures")
    assert [row[1] for row in kept.rows] == [
        "1x106x106x1 -> 1x104x104x8",
        "1x104x104x8 -> 1x52x52x8",
        "1x52x52x8 -> 1x50x50x2",
    ]
    assert kept.rows[2][2] == "x 1x52x52x8"  # neither y, which has no ReLU, nor a copy
    values = 104 * 104 * 8 + 52 * 52 * 8 + 50 * 50 * 2  # first layer, pooling, second layer
    alive = [float(row[1].removesuffix(" MB")) for row in memory.rows]
    everything, y_alone = 8 * values / 1e6, 8 * 50 * 50 * 2 / 1e6
    expected = [everything, everything, y_alone, y_alone, y_alone]
    assert alive == pytest.approx(expected, abs=0.03)
    both = re.search(r"backward says (\S+), and finite differences (\S+)\. ", printed).groups()
    assert float(both[0]) == pytest.approx(float(both[1]), rel=1e-5) and float(both[0]) != 0
    assert ".grad after a second backward and twice .grad" in checks("closures")
    assert "By the rules of school the derivative of 5 x^2 is 10 x = 30." in printed
    assert "makes 1*5 = 5 of it, and square 5*2*3 = 30" in printed
    sides = [(64, 570, 568), (128, 282, 280), (256, 138, 136), (512, 66, 64), (1024, 30, 28)]
    numbers = sum(c * (a * a + b * b) for c, a, b in sides)  # down, the bottom last
    numbers += sum(c * (b // 2) ** 2 for c, _, b in sides[:-1])  # pooled
    ups = [(512, 56, 54, 52), (256, 104, 102, 100), (128, 200, 198, 196), (64, 392, 390, 388)]
    numbers += sum(c * (u * u + a * a + b * b) for c, u, a, b in ups) + 2 * 388 * 388
    assert f"{4 * numbers / 1e9:.2f} GB, in numbers of 4 bytes" in printed
    assert f"parameters {4 * 31_030_658 / 1e9:.2f} GB" in printed
    answer = words("closures", answer=True)
    assert "y = 8 and z = 64." in answer and "= 192. Indeed" in answer


def parameters_of_the_paper():
    count, before = [], 1
    for here in (64, 128, 256, 512, 1024):  # down, and up again: twice the channels come in
        down, up = 9 * before * here + here + 9 * here * here + here, 0
        if here < 1024:
            up = 4 * 2 * here * here + here
            up += 9 * 2 * here * here + here + 9 * here * here + here
        count.append((down, up))
        before = here
    return count, 64 * 2 + 2


def test_unet():
    printed = words("unet")
    levels, head = parameters_of_the_paper()
    total = sum(map(sum, levels)) + head
    assert total == 31_030_658
    assert f"{total:,} parameters in 23 convolutional layers" in printed
    (table,) = tables("unet")
    for row, (down, up) in zip(table.rows, levels, strict=False):
        assert row[2:5] == (f"{down:,}", f"{up:,}", f"{down + up:,}")
        assert row[5] == f"{(down + up) / total:.1%}"
    assert "first has 9*1*64 + 64 = 640, the second 9*64*64 + 64 = 36,928" in printed
    assert "That is 4, and then 8 + 2*4 = 16, 8 + 2*16 = 40, 8 + 2*40 = 88, 8 + 2*88 = 184." in (
        printed
    )
    assert "572 - 184 = 388: each side of the tile loses 92 pixels" in printed
    assert "188, 204, 220 ... in steps of 2^4 = 16" in printed
    names = [what for what in checks("unet") if what.startswith(("contract0", "expand0", "row"))]
    assert len(names) == 5


@pytest.mark.parametrize(
    ("answer", "crops"),
    [
        (False, {88: (572, 392), 40: (284, 200), 16: (140, 104), 4: (68, 56)}),
        (True, {16: (60, 24), 4: (28, 16)}),
    ],
)
def test_the_picture_of_the_u(answer, crops):
    (picture,) = (part.text for part in parts("unet", answer) if isinstance(part, Block))
    lines = picture.split("\n")
    assert len(lines) == 2 * len(crops) + 1
    channels = 64
    rows = zip(lines[::2], lines[1::2], crops.items(), strict=False)
    for line, arrows, (crop, (down, up)) in rows:
        row = rf" *{channels}  +{down}-{down - 2}-{down - 4} -+{crop}-+> {up}-{up - 2}-{up - 4}"
        assert re.fullmatch(row, line), line
        channels *= 2
        below = lines[lines.index(line) + 2]
        for mark in "v^":  # each arrow stands between a number above and one below
            at = arrows.index(mark)
            assert line[at].isdigit() and below[at].isdigit(), picture
    down = min(down for down, _ in crops.values()) // 2 - 2
    assert re.fullmatch(rf" *{channels} +{down}-+{down - 2}-+{down - 4}", lines[-1])


def test_62_pixels_do_not_fit_and_64_do():
    net = UNet(width=1, depth=2)
    assert net(np.zeros((1, 64, 64, 1), "float32"), remember=False).shape == (1, 24, 24, 2)
    with pytest.raises(Exception, match="62"):
        net(np.zeros((1, 62, 62, 1), "float32"), remember=False)
    assert "the next is 64" in words("unet", answer=True)


def velocities(gradients, rates, mu=0.99):
    """V by the formula of Caffe, as a linear filter."""
    return signal.lfilter([1], [1, -mu], np.asarray(rates) * gradients)


def test_momentum():
    printed = words("momentum")
    (table,) = tables("momentum")
    v = velocities(np.ones(4), np.full(4, 0.1), 0.5)
    for row, step, total in zip(table.rows, v, np.cumsum(v), strict=True):
        assert float(row[1]) == pytest.approx(step, abs=1e-4)
        assert float(row[2]) == pytest.approx(-total, abs=1e-4)
    rates = np.where(np.arange(1200) < 600, 1e-3, 1e-4)
    caffe = velocities(np.ones(1200), rates)
    torch = rates * velocities(np.ones(1200), np.ones(1200))
    (block,) = (part.text for part in parts("momentum") if isinstance(part, Block))
    rows = re.findall(r"^ *(\d+)  (0\.\d+)  (0\.\d+)", block, re.M)
    assert len(rows) > 6
    for update, inside, outside in rows:
        assert float(inside) == pytest.approx(caffe[int(update) - 1], abs=6e-6)
        assert float(outside) == pytest.approx(torch[int(update) - 1], abs=6e-6)
    further = caffe[600:].sum() - torch[600:].sum()
    assert f"goes {further:.2f} further" in printed
    assert f"forgotten after {math.log(0.5) / math.log(0.99):.0f} updates" in printed
    assert "rate/(1 - mu) = 0.001/0.01 = 0.1." in printed
    shares = (388**2 / 572**2, (252 - 184) ** 2 / 252**2)
    assert f"{shares[0]:.0%} of the pixels" in printed and f"but {shares[1]:.0%} of" in printed


def test_momentum_averages_noise():
    printed = words("momentum")
    noisy = 1 + 3 * np.random.default_rng(0).standard_normal(20_000)
    means = velocities(noisy, np.full(20_000, 0.01))[1000:]
    assert number_after(printed, "the velocities have the mean") == pytest.approx(
        means.mean(), abs=1e-3
    )
    assert number_after(printed, "and are off by") == pytest.approx(means.std(), abs=0.006)
    assert f"{(noisy < 0).mean():.0%} have the wrong sign" in printed
    # of normal random numbers that is the share below -1/3
    assert (noisy < 0).mean() == pytest.approx(special.ndtr(-1 / 3), abs=0.01)


def test_momentum_of_nine_tenths():
    printed = words("momentum", answer=True)
    (table,) = tables("momentum", answer=True)
    assert f"{math.log(0.5) / math.log(0.9):.1f} updates; and the rate is" in printed
    for row in table.rows:
        n = int(row[0])
        for cell, rate, mu in ((row[1], 0.01, 0.9), (row[2], 0.001, 0.99)):
            assert float(cell) == pytest.approx(sum(rate * mu**k for k in range(n)), abs=1e-4)


def test_dropout():
    found, printed = arrays("dropout"), words("dropout")
    x, y, dy, dx = (found[name][0] for name in ("x", "y", "dy", "dx"))
    assert set((y / x).ravel()) == {0, 2}
    np.testing.assert_array_equal(dx, dy * y / x)
    known = "6627e8d5 e169c58d bc57ac4c 9b00dbd8"  # the known-answer test of Random123
    (table,) = tables("dropout")
    assert [row[1] for row in table.rows] == [known, known]
    # element 10, in the third row, is what the word drawn alone says
    word = int(re.search(r"word 2 of counter 2: ([0-9a-f]{8})", printed)[1], 16)
    assert (word >= 1 << 31) == (y[2, 2] != 0)
    assert ("so it is kept;" in printed) == (y[2, 2] != 0)
    assert number_after(printed, "above, y says") == y[2, 2]
    # of 16,000 draws with probability 1/2, within five standard deviations
    assert number_after(printed, "1,000 keys") == pytest.approx(50, abs=2)


def test_dropout_with_another_mask():
    answer = arrays("dropout", answer=True)
    right, wrong = answer["measured"][0], answer["dx_with_another_key"][0]
    np.testing.assert_allclose(right, arrays("dropout")["dx"][0], atol=1e-8)
    assert (np.abs(right - wrong) > 0.5).sum() > 2
    printed = words("dropout", answer=True)
    assert "the values 0 and 16," in printed
    assert number_after(printed, "of them 16, mean") == pytest.approx(4, abs=1.1)
