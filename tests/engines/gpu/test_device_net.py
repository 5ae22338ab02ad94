"""Whole networks, losses, solvers and trainings on the device double, and on CuPy where a GPU is.

On the double the sums are NumPy's own, so with the same algorithm every result is the same bit for
bit; and an array of the host beside one of the device is an error there, so nothing mixes.
"""

import sys

import numpy as np
import pytest
from inputs import DEVICES, cupy

import cunet
from cunet import backend
from cunet.engines import definition
from cunet.net.unet import UNet
from cunet.ops import softmax_loss
from cunet.segmentation import segment, views

SIDE = 20


@pytest.fixture(params=DEVICES, ids=lambda module: module.__name__)
def xp(request, monkeypatch):
    """The library behind device "cuda" in this test."""
    monkeypatch.setitem(sys.modules, "cupy", request.param)
    return request.param


def same(xp, device, host):
    assert type(device) is xp.ndarray and device.dtype == host.dtype
    if xp is cupy:
        np.testing.assert_allclose(device.get(), host, rtol=0, atol=1e-10 * max(1, abs(host).max()))
    else:
        np.testing.assert_array_equal(device.get(), host)


def nets(variant="paper", depth=1, **more):
    """A net on the device and its twin on the host, with the same engine."""
    make = {"width": 2, "depth": depth, "variant": variant, "dtype": "float64"} | more
    return UNet(**make, device="cuda"), UNet(**make, engine=definition)


def batch(net, number=2, side=SIDE):
    rng = np.random.default_rng(0)
    out = side - 16
    x = rng.standard_normal((number, side, side, net.shape.in_channels))
    labels = rng.integers(0, net.shape.classes, (number, out, out)).astype(np.uint8)
    labels[0, 0, 0] = 255
    return x, labels, rng.random((number, out, out))


def test_the_device_is_named_once(xp):
    net, _ = nets()
    assert net.device == "cuda:0" and backend.resolve_device("auto") == "cuda:0"
    for p in net.parameters():
        assert type(p.value) is type(p.grad) is xp.ndarray
    x = np.ones((2, 3))
    there = backend.to_device(x, "cuda:0")
    assert type(there) is xp.ndarray and backend.array_module(there) is xp
    np.testing.assert_array_equal(backend.to_host(there), x)
    assert backend.to_device(there, "cuda:0") is there and backend.to_host(x) is x


@pytest.mark.parametrize("variant", ["paper", "release2015"])
@pytest.mark.parametrize("solver", ["SGD", "Adam"])
def test_forward_loss_backward_and_updates(xp, variant, solver):
    device, host = nets(variant, in_channels=2, classes=3)
    arrays = batch(host)
    make = getattr(cunet, solver)
    options = {"lr": 0.01, "weight_decay": 0.1, "clip": 0.5, "iter_size": 2}
    solvers = [make(net.parameters(), **options) for net in (device, host)]
    for step in range(3):
        results = []
        for net, put in ((device, xp.asarray), (host, np.copy)):
            x, labels, weights = map(put, arrays)
            logits, backward = net(x, rng=np.random.default_rng(step))
            loss, dlogits = cunet.softmax_loss(logits, labels, weights, 255)
            dx = backward(dlogits, input_gradient=True)
            assert type(loss) is float
            results.append((loss, logits, dlogits, dx, net(x, remember=False)))
        (loss_there, *there), (loss_here, *here) = results
        assert loss_there == (pytest.approx(loss_here, rel=1e-10) if xp is cupy else loss_here)
        for a, b in zip(there, here, strict=True):
            same(xp, a, b)
        for p, q in zip(device.parameters(), host.parameters(), strict=True):
            same(xp, p.grad, q.grad)
        for s in solvers:
            s.step()
        for p, q in zip(device.parameters(), host.parameters(), strict=True):
            same(xp, p.value, q.value)
        states = [s.state() for s in solvers]
        assert states[0].keys() == states[1].keys()
        for name, array in states[0].items():
            same(xp, array, states[1][name])


def test_a_net_with_same_padding_batch_norm_and_one_output(xp):
    device, host = nets(padding="same", batch_norm=True, sigmoid=True)
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((2, SIDE, SIDE, 1)), rng.integers(0, 2, (2, SIDE, SIDE))
    for _ in range(2):
        results = []
        for net, put in ((device, xp.asarray), (host, np.copy)):
            logits, backward = net(put(x), train=True)
            loss, dlogits = net.loss(logits, put(labels))
            dx = backward(dlogits, input_gradient=True)
            assert type(loss) is float
            results.append((logits, dx, net.probability(net(put(x), remember=False))))
        for a, b in zip(*results, strict=True):
            same(xp, a, b)
        for p, q in zip(device.parameters(), host.parameters(), strict=True):
            same(xp, p.grad, q.grad)
        for a, b in zip(*(net.statistics().values() for net in (device, host)), strict=True):
            same(xp, a, b)


@pytest.mark.parametrize("normalize", ["weights", "pixels", "none"])
def test_the_loss_without_weights(xp, normalize):
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((1, 3, 4, 2)), rng.integers(0, 2, (1, 3, 4))
    there = cunet.softmax_loss(xp.asarray(logits), xp.asarray(labels), None, None, normalize)
    here = cunet.softmax_loss(logits, labels, None, None, normalize)
    assert there[0] == pytest.approx(here[0], rel=1e-12)
    same(xp, there[1], here[1])


@pytest.mark.parametrize("average", views.AVERAGES)
def test_segmentation_returns_arrays_of_the_host(xp, average):
    device, host = nets(depth=2, in_channels=2)
    image = np.random.default_rng(0).integers(0, 255, (21, 13, 2)).astype(np.uint8)
    there, here = (segment.segment(image, net, 44, average) for net in (device, host))
    assert type(there) is np.ndarray and there.shape == (21, 13, 2)
    np.testing.assert_allclose(there, here, rtol=0, atol=1e-10 if xp is cupy else 0)


def test_the_views_of_a_tile(xp):
    device, host = nets()
    tile = np.random.default_rng(0).standard_normal((18, 22, 1))
    several = views.AVERAGES["rotations"]
    found = views.average_views(device, tile, several)
    assert type(found) is np.ndarray and found.shape == (2, 6, 2)
    logits = device(xp.asarray(tile[None]), remember=False)
    same(xp, softmax_loss.probability(logits), views.average_views(host, tile, several[:1])[None])


def test_models_are_saved_and_loaded_on_either_side(xp, tmp_path):
    device, host = nets()
    solver = cunet.SGD(device.parameters())
    device.parameters()[0].grad += 1
    solver.step()
    cunet.save(tmp_path / "there.npz", device)
    for where in ("cpu", "cuda"):
        again = cunet.load(tmp_path / "there.npz", where)
        for p, q in zip(again.parameters(), device.parameters(), strict=True):
            assert type(p.value) is (np.ndarray if where == "cpu" else xp.ndarray)
            np.testing.assert_array_equal(backend.to_host(p.value), q.value.get())


def test_a_step_of_training(xp):
    device, host = nets(dtype="float32")
    arrays = tuple(a.astype(np.float32) if a.dtype == np.float64 else a for a in batch(host))
    losses = [
        net.engine.step(net, None, "weights", 255).accumulate(arrays, np.random.default_rng(0))
        for net in (device, host)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5 if xp is cupy else 1e-12)
    for p, q in zip(device.parameters(), host.parameters(), strict=True):
        atol = 1e-4 * abs(q.grad).max() if xp is cupy else 0
        np.testing.assert_allclose(p.grad.get(), q.grad, rtol=0, atol=atol)


def test_mixing_is_an_error_not_a_silent_copy(xp):
    device, host = nets()
    x = batch(host)[0]
    with pytest.raises((TypeError, ValueError)):
        device(x, remember=False)
    with pytest.raises((TypeError, ValueError)):
        host(xp.asarray(x), remember=False)
