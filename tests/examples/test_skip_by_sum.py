"""examples/paper/skip_by_sum.py: skips that are added instead of concatenated."""

import re
from dataclasses import replace

import numpy as np
import pytest
from along_directions import check_gradients, off_kinks
from example_scripts import example

import cunet
from cunet.backend import to_device, to_host
from cunet.errors import CunetError
from cunet.net.tiles import smallest_tile
from cunet.training import config as configs
from cunet.training.prepared import prepare

skip_by_sum = example("paper/skip_by_sum.py")
pytestmark = pytest.mark.usefixtures("threads_as_before")


def tied(depth=2, width=4):
    """A SumUNet, and a UNet whose first expanding filters are the same for both halves."""
    shape = {"width": width, "depth": depth, "in_channels": 2, "classes": 3, "dtype": "float64"}
    by_sum, whole = skip_by_sum.SumUNet(**shape), cunet.UNet(**shape)
    off_kinks(by_sum, np.random.default_rng(1))
    for layer, twin in zip(by_sum.layers(), whole.layers(), strict=True):
        number = twin.w.value.shape[2] // layer.w.value.shape[2]
        twin.w.value[...] = np.tile(layer.w.value, (1, 1, number, 1))
        twin.b.value[...] = layer.b.value
    side = smallest_tile(depth) + 2**depth
    return by_sum, whole, np.random.default_rng(2).standard_normal((1, side, side, 2))


def test_a_sum_is_a_concatenation_with_equal_filters():
    by_sum, whole, x = tied()
    results = []
    for net in (by_sum, whole):
        logits, backward = net(x, np.random.default_rng(0))  # with dropout
        results.append((logits, backward(np.cos(logits), input_gradient=True)))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)
    for layer, twin in zip(by_sum.layers(), whole.layers(), strict=True):
        channels = layer.w.value.shape[2]
        expected = twin.w.grad[:, :, :channels]
        if twin.w.grad.shape != layer.w.grad.shape:
            expected = expected + twin.w.grad[:, :, channels:]
        np.testing.assert_allclose(layer.w.grad, expected, rtol=0, atol=1e-10, err_msg=layer.name)
        np.testing.assert_allclose(layer.b.grad, twin.b.grad, rtol=0, atol=1e-10)


@pytest.mark.parametrize("depth", [1, 2])
def test_gradients_of_skips_by_sum(depth):
    by_sum, _, x = tied(depth)
    check_gradients(by_sum, x)


def test_what_the_sum_saves_and_what_stays():
    by_sum, whole = skip_by_sum.SumUNet(width=16), cunet.UNet(width=16)
    counts = [sum(p.value.size for p in net.parameters()) for net in (by_sum, whole)]
    assert counts[1] - counts[0] == 9 * (16**2 + 32**2 + 64**2 + 128**2)
    differing = []
    for layer, twin in zip(by_sum.layers(), whole.layers(), strict=True):
        assert layer.name == twin.name
        if not np.array_equal(layer.w.value, twin.w.value):
            differing.append(layer.name)
            fan_in = np.prod(layer.w.value.shape[:3])
            assert layer.w.value.std() == pytest.approx(np.sqrt(2 / fan_in), rel=0.05)
    assert differing == [f"expand{i}.conv1" for i in (3, 2, 1, 0)]
    with pytest.raises(CunetError, match="release2015"):
        skip_by_sum.SumUNet(width=2, depth=1, variant="release2015")


SMALL = {"width": 2, "depth": 1, "tile": 34, "steps": 4, "fold": "0/3", "device": "cpu"}


def test_trained_as_by_cunet(data):
    """The example's own loop leaves the net where cunet.train leaves it, bit for bit."""
    config = configs.make("cpu", None, SMALL | {"data": str(data), "dropout": 0.5, "iter_size": 2})
    prepared = prepare(config)
    *_, last = cunet.train(config, prepared)
    nets = skip_by_sum.twins(config, prepared)
    scores = skip_by_sum.train("concatenation", nets["concatenation"], config, prepared)
    for name in ("val_pixel_error", "val_dice", "val_loss"):
        assert scores[name] == last[name]
    twin, before = nets["sum"], [p.value.copy() for p in nets["sum"].parameters()]
    skip_by_sum.train("sum", twin, replace(config, iter_size=1), prepared)
    for p, old in zip(twin.parameters(), before, strict=True):
        assert not np.array_equal(p.value, old), p.name


def test_the_comparison(data, capsys):
    given = [f"--{name}={value}" for name, value in SMALL.items()]
    assert skip_by_sum.main([*given, "--data", str(data), "--seed", "0", "1"]) == 0
    printed = capsys.readouterr().out
    for name, net in (("concatenation", cunet.UNet), ("sum", skip_by_sum.SumUNet)):
        count = sum(p.value.size for p in net(width=2, depth=1).parameters())
        rows = re.findall(rf"^{name} +{count:,} +(\d\.\d+) +(\d\.\d+)", printed, re.M)
        assert len(rows) == 2 and rows[0] != rows[1]
    differences = printed.rpartition("of concatenation: ")[2].split(", ")
    assert len(differences) == 2
    assert skip_by_sum.main(["--data", str(data), "--tile", "35"]) == 2
    assert "tile 35 does not fit" in capsys.readouterr().err


def test_skips_by_sum_on_a_device(device):
    x, results = np.random.default_rng(0).standard_normal((1, 20, 20, 1)), []
    for where in ("cpu", device):
        net = skip_by_sum.SumUNet(width=2, depth=1, dropout=0, dtype="float64", device=where)
        logits, backward = net(to_device(x, net.device))
        backward(logits)
        results.append([to_host(a) for a in (logits, *(p.grad for p in net.parameters()))])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)
