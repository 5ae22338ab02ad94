"""examples/paper/sliding_window*.py: the network that classifies one pixel after another."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from along_directions import check_gradients, off_kinks
from example_scripts import EXAMPLES, example

import cunet
from cunet.engines.cpu import lines, strips, winograd_fused
from cunet.engines.cpu.conv import choose
from cunet.errors import CunetError, DataError
from cunet.metrics.pixel import PixelCounts
from cunet.net import figure1
from cunet.net.shape import Shape
from cunet.ops import conv

PAPER = EXAMPLES / "paper"
net_of = example("paper/sliding_window_net.py")
training_of = example("paper/sliding_window_training.py")
sliding_window = example("paper/sliding_window.py")
pytestmark = pytest.mark.usefixtures("threads_as_before")


def test_sizes_of_a_patch_on_its_way():
    sides = [92, 46, 42, 21, 18, 9, 6, 3, 1, 1]
    net = net_of.SlidingWindow(maps=2, hidden=3)
    assert [row.shape[0] for row in net_of.rows(net)] == sides
    x, found = np.ones((1, 95, 95, 1), np.float32), []
    for layer in net.convs:
        x = layer(x)[0]
        found.append(x.shape[1])
        x = net.pool(x)[0]
        found.append(x.shape[1])
    for layer in (net.hidden, net.head):
        x = layer(x)[0]
        found.append(x.shape[1])
    assert found == sides
    logits, _ = net(np.ones((2, 95, 95, 1), np.float32))
    assert logits.shape == (2, 1, 1, 2)
    with pytest.raises(CunetError, match="95"):
        net(np.ones((2, 94, 95, 1), np.float32))
    with pytest.raises(CunetError, match="16 k"):
        net.dense(np.ones((1, 111, 110, 1), np.float32))


def test_parameters_and_operations():
    net = net_of.SlidingWindow()
    taps = (16 * 1 * 48, 25 * 48 * 48, 16 * 48 * 48, 16 * 48 * 48, 9 * 48 * 200, 200 * 2)
    count = sum(taps) + 4 * 48 + 200 + 2
    assert count == 219_290 == sum(p.value.size for p in net.parameters())
    assert sum(row.parameters for row in net_of.rows(net)) == count
    outputs = (92**2, 42**2, 18**2, 6**2, 1, 1)
    patch = 2 * sum(map(int.__mul__, taps, outputs))
    assert sum(row.flops for row in net_of.rows(net)) == patch
    assert round(patch / 1e6) == 243 and round(512**2 * patch / 1e12) == 64
    # densely every position of the slice counts once in a layer, and its border a little
    inner = (603**2, 4 * 297**2, 16 * 145**2, 64 * 69**2, 512**2, 512**2)
    table = net_of.rows(net, 606)
    assert sum(row.flops for row in table) == 2 * sum(map(int.__mul__, taps, inner))
    assert table[-1].shape == (32, 32, 2) and "256 x" in table[-1].kind


def test_the_fast_kernels_take_its_filters():
    net = net_of.SlidingWindow()
    chosen = [choose(layer.w.value) for layer in net.layers()]
    assert chosen == [lines] + [strips] * 3 + [winograd_fused, strips]
    rng = np.random.default_rng(0)
    for side in (4, 5):
        for channels in (1, 6):
            x, w = (
                rng.standard_normal((2, 11, 9, channels)),
                rng.standard_normal((side, side, channels, 3)),
            )
            b = rng.standard_normal(3)
            y = conv.forward(x, w, b)
            np.testing.assert_allclose(strips.conv_forward(x, w, b), y, atol=1e-12)
            dy = rng.standard_normal(y.shape)
            ours, plain = strips.conv_backward(dy, x, w), conv.backward(dy, x, w)
            for a, b in zip(ours, plain, strict=True):
                np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("maps", [3, 5])  # few channels are gathered, more go tap by tap
def test_gradients_of_the_whole_network(maps):
    rng = np.random.default_rng(maps)
    net = net_of.SlidingWindow(maps, hidden=6, in_channels=2, classes=3, dtype="float64")
    check_gradients(off_kinks(net, rng), rng.standard_normal((2, 95, 95, 2)))


def test_a_closure_that_forgets_returns_the_same():
    x, net = np.random.default_rng(0).standard_normal((2, 95, 95, 1)), None
    gradients = []
    for remember in (True, "once"):
        net = net_of.SlidingWindow(2, 3, dtype="float64")
        logits, backward = net(x, remember)
        backward(logits)
        gradients.append([p.grad.copy() for p in net.parameters()])
    for kept, forgotten in zip(*gradients, strict=True):
        np.testing.assert_array_equal(kept, forgotten)


@pytest.mark.parametrize("block", [16, 512])
def test_dense_equals_patch_by_patch(block):
    rng = np.random.default_rng(4)
    net = net_of.SlidingWindow(3, hidden=5, in_channels=2, dtype="float64")
    off_kinks(net, rng)
    image = rng.standard_normal((19, 17, 2))
    patches = net_of.windows(image)
    assert patches.shape == (19, 17, 95, 95, 2)
    np.testing.assert_array_equal(patches[:, :, 47, 47], image)
    alone = net_of.patch_probabilities(net, patches.reshape(-1, 95, 95, 2))
    dense = net_of.image_probabilities(net, image, block)
    assert np.ptp(dense[..., 0]) > 1e-3  # pixels differ, so a pixel at a wrong place would show
    np.testing.assert_allclose(dense, alone.reshape(19, 17, 2), rtol=0, atol=1e-10)


def test_training_patches():
    rng = np.random.default_rng(6)
    labels = [rng.integers(0, 2, (30, 40)).astype(np.uint8), np.zeros((20, 24), np.uint8)]
    labels[0][:5], labels[1][0, 0], labels[1][-1, -1] = 255, 1, 255
    # each pixel says what and where it is
    images = [
        np.stack([y, np.full(y.shape, i), *np.indices(y.shape)], axis=2).astype(np.float32)
        for i, y in enumerate(labels)
    ]
    patches = training_of.Patches(images, labels, seed=3)
    found = []
    for step in range(8):
        x, y = patches.batch(step, 30)
        assert x.shape == (30, 95, 95, 4) and y.shape == (30, 1, 1) and y.sum() == 15
        np.testing.assert_array_equal(x[:, 47, 47, 0], y[:, 0, 0])
        found.append(x)
    again = training_of.Patches(images, labels, seed=3).batch(7, 30)[0]
    np.testing.assert_array_equal(again, found[-1])
    assert not np.array_equal(training_of.Patches(images, labels, seed=4).batch(7, 30)[0], again)
    x = np.concatenate(found)
    centres, views = x[:, 47, 47], set()
    assert set(centres[:, 1]) == {0, 1}
    for patch, centre in zip(x, centres, strict=True):
        around = net_of.windows(images[int(centre[1])])[tuple(centre[2:].astype(int))]
        eight = [f for k in range(4) for r in [np.rot90(around, k)] for f in (r, r[:, ::-1])]
        views.add(next(i for i, view in enumerate(eight) if np.array_equal(view, patch)))
    assert views == set(range(8))
    # every slice counts by its pixels: of the second one a single cell pixel, many background
    ones = x[:, 47, 47, 0] == 1
    cells = (labels[0] == 1).sum(), (labels[1] == 1).sum()
    assert (centres[ones, 1] == 1).mean() < 0.02 and cells[1] == 1
    background = (labels[0] == 0).sum(), (labels[1] == 0).sum()
    share = background[1] / sum(background)
    assert (centres[~ones, 1] == 1).mean() == pytest.approx(share, abs=0.1)
    # one cell pixel in each of three slices: all three are found
    single = [np.eye(1, 6, i, dtype=np.uint8).reshape(2, 3) for i in range(3)]
    three = training_of.Patches([np.full((2, 3, 1), i) for i in range(3)], single, seed=0)
    assert {int(three.draw(rng, 1)[47, 47, 0]) for _ in range(40)} == {0, 1, 2}
    with pytest.raises(DataError, match="one class"):
        training_of.Patches(images[1:], [np.zeros((20, 24), np.uint8)], 0)
    with pytest.raises(CunetError, match="even"):
        patches.batch(0, 5)


def test_it_learns():
    """Dark and bright: a few steps suffice."""
    rng = np.random.default_rng(0)
    images = [rng.normal(level, 0.5, (8, 8, 1)).astype(np.float32) for level in (-1, 1)]
    patches = training_of.Patches(images, [np.full((8, 8), k, np.uint8) for k in (0, 1)], seed=0)
    net = net_of.SlidingWindow(maps=4, hidden=40, seed=0)
    losses = list(training_of.training(net, patches, 20, 4, lr=1e-2))
    assert losses[0] > 0.6 and max(losses[-5:]) < 0.3


def test_train_and_score(data, tmp_path, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in data.iterdir()}
    model, out, say = tmp_path / "net.npz", tmp_path / "prob", ["--threads", "1"]
    given = ["train", "--data", str(data), "--fold", "0/3", "--steps", "2", "--batch", "4", *say]
    assert sliding_window.main([*given, "--out", str(model)]) == 0
    assert "219,290 parameters, 2 slices, 2 steps of 4" in capsys.readouterr().out
    scoring = ["score", "--data", str(data), "--model", str(model), *say]
    assert sliding_window.main([*scoring, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    (file,) = out.iterdir()
    probability, truth = tifffile.imread(file), tifffile.imread(data / "train-labels.tif")[0] > 0
    assert file.name == "slice00_prob.tif" and probability.dtype == np.float32
    counts = PixelCounts()
    counts.add(probability, truth)
    assert f"slice 0: pixel error {counts.pixel_error():.4f}" in printed
    assert f"together: pixel error {counts.pixel_error():.4f}" in printed
    assert f"Dice {counts.dice():.4f}" in printed
    white = 1 - 2 * truth.mean() / (1 + truth.mean())
    assert f"all white would be {white:.4f}" in printed

    assert sliding_window.main([*given, "--out", str(model)]) == 2
    assert "exists; choose another" in capsys.readouterr().err
    assert sliding_window.main([*scoring, "--out", str(out), "--slice", "1"]) == 2
    assert "holds out [0], asked for [1]" in capsys.readouterr().err
    for command in (given, scoring):
        assert sliding_window.main([*command, "--out", str(data / "new")]) == 2
        assert "lies in the data folder" in capsys.readouterr().err
    cunet.save(tmp_path / "unet.npz", cunet.UNet(width=1, depth=1))
    scoring[4] = str(tmp_path / "unet.npz")
    assert sliding_window.main([*scoring, "--out", str(out)]) == 2
    assert "is not one that `train`" in capsys.readouterr().err
    assert {path.name: path.stat().st_mtime_ns for path in data.iterdir()} == before


def test_dense_and_single_patches_are_compared_at_run_time():
    net = net_of.SlidingWindow(maps=2, hidden=2)
    x = np.random.default_rng(0).standard_normal((20, 20, 1)).astype(np.float32)
    right = net_of.image_probabilities(net, x)[..., 1]
    assert sliding_window.compare(net, x, right, 0) < 1e-5
    with pytest.raises(CunetError, match="differ"):
        sliding_window.compare(net, x, right + 0.01, 0)


def test_steps_that_fill_the_time(data, tmp_path, capsys):
    given = ["train", "--data", str(data), "--fold", "0/3", "--minutes", "1e-4", "--batch", "2"]
    assert sliding_window.main([*given, "--out", str(tmp_path / "net.npz")]) == 0
    assert re.search(r"the same again: --steps 1\n", capsys.readouterr().out)


def test_time(data):
    """As a user runs it, with warnings made errors."""
    arguments = ["time", "--data", str(data), "--patches", "6", "--batch", "4", "--threads", "1"]
    arguments += ["--width", "8", "2"]
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", str(PAPER / "sliding_window.py"), *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    printed = re.sub(" +", " ", done.stdout)
    assert "A slice of 40x40 pixels, 1 thread, device cpu" in printed
    few = re.search(r"sliding window, 6 patches ([\d.]+) 1\.5 [\d.]+\n", printed)
    work = sum(row.flops for row in net_of.rows(net_of.SlidingWindow())) * 1600 / 1e9
    every = re.search(rf"extrapolated to all 1,600 ([\d.]+) {work:.1f} [\d.]+\n", printed)
    assert float(every[1]) == pytest.approx(float(few[1]) * 1600 / 6, rel=0.3)
    for width in (8, 2):
        flops = sum(row.flops for row in figure1.rows(Shape(width), 236)) / 1e9
        assert f"U-Net of width {width}, one tile of 236" in printed
        assert re.search(rf"tile of 236 [\d.]+ {flops:.1f} [\d.]+\n", printed)
        assert f"of that time and 1/{work / flops:,.0f} of the operations" in printed
    assert "the time of all is an extrapolation" in printed


def test_the_sliding_window_on_a_device(device):
    x = np.random.default_rng(0).standard_normal((17, 16, 1))
    labels = (x[..., 0] > 0).astype(np.uint8)
    results = []
    for where in ("cpu", device):
        net = net_of.SlidingWindow(2, 12, dtype="float64", device=where)
        patches = training_of.Patches([x], [labels], seed=0)
        losses = list(training_of.training(net, patches, 2, 2, lr=1e-3))
        alone = net_of.patch_probabilities(net, net_of.windows(x)[3])
        results.append((np.array(losses), alone, net_of.image_probabilities(net, x)))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)
