"""Whole networks, trainings and predictions on tensor cores, run by the CPU.

The reference is the same network in float64 that rounds where the GPU does: filters, and what each
layer returns, forward and back. It takes the definitions of ops, knows no kernel, and rounds by
NumPy's own means.
"""

import gc
import weakref
from functools import partial

import numpy as np
import pytest
from cuda_emulation import emulate

import cunet
from cunet.backend import to_host
from cunet.engines import definition
from cunet.engines.gpu import cuda, recorded
from cunet.engines.gpu.record import record_of
from cunet.net import checkpoint
from cunet.net.sizes import output_size
from cunet.net.unet import UNet
from cunet.segmentation import segment

LIMITS = {"tf32": 1e-3, "float16": 1e-3, "bfloat16": 8e-3}  # a rounding or two, relative


def rounded(a, precision):
    """a in float64, rounded to nearest as the precision keeps numbers."""
    if precision == "float16":
        return a.astype(np.float16).astype(np.float64)
    bits = {"tf32": 11, "bfloat16": 8}[precision]
    mantissa, exponent = np.frexp(a)
    return np.ldexp(np.rint(mantissa * 2**bits) / 2**bits, exponent)


class Rounding:
    """The definitions as an engine that rounds what its functions return, as the GPU does."""

    def __init__(self, precision):
        self.r = lambda a: rounded(a, precision)

    def __getattr__(self, name):  # what moves numbers without changing them
        return getattr(definition, name)

    def filters(self, w):
        exact = w.shape[2] <= 4 or w.shape[0] == 1  # first layer and head multiply in float32
        return w if exact else self.r(w)

    def conv_forward(self, x, w, b, padding="valid", relu=False):
        y = definition.conv_forward(x, self.filters(w), b, padding, relu)
        return y if w.shape[0] == 1 else self.r(y)

    def conv_backward(self, dy, x, w, y=None, padding="valid", input_gradient=True):
        found = definition.conv_backward(dy, x, self.filters(w), y, padding, input_gradient)
        return (self.r(found[0]) if input_gradient else None), *found[1:]

    def up_forward(self, x, w, b, relu=False):
        return self.r(definition.up_forward(x, self.r(w), b, relu))

    def up_backward(self, dy, x, w, y=None):
        dx, dw, db = definition.up_backward(dy, x, self.r(w), y)
        return self.r(dx), dw, db


def reference(net, x, labels, weights, rng, precision):
    """Logits, loss and gradients of a float64 twin of net."""
    twin = UNet(**net.settings() | {"dtype": "float64"}, engine=Rounding(precision))
    for p, q in zip(twin.parameters(), net.parameters(), strict=True):
        p.value[...] = to_host(q.value)
    logits, backward = twin(rounded(x.astype(np.float64), precision), rng)
    loss, dlogits = twin.loss(logits, labels, weights.astype(np.float64), 255)
    backward(dlogits)
    return logits, loss, {p.name: p.grad for p in twin.parameters()}


def batch(net, side=60, number=1):
    rng = np.random.default_rng(0)
    out = output_size(side, net.shape.depth)
    x = rng.standard_normal((number, side, side, net.shape.in_channels), np.float32)
    labels = rng.integers(0, net.shape.classes, (number, out, out)).astype(np.uint8)
    labels[0, 0, 0] = 255
    return x, labels, rng.random((number, out, out), np.float32)


def close(found, expected, limit):
    difference = np.linalg.norm(found.astype(np.float64) - expected)
    assert difference <= limit * np.linalg.norm(expected), difference / np.linalg.norm(expected)


CASES = {
    "paper": ({"width": 8, "depth": 2}, 80),
    "paper by boxes": ({"width": 16, "depth": 1}, 90),
    "release, 3 channels, 5 classes": (
        {"width": 8, "depth": 1, "variant": "release2015", "in_channels": 3, "classes": 5}, 80,
    ),
}  # fmt: skip


@pytest.mark.parametrize("precision", cuda.DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_logits_loss_and_gradients(case, precision, monkeypatch):
    settings, capability = CASES[case]
    emulate(monkeypatch, capability)
    net = UNet(**settings, seed=1, device="cuda", precision=precision)
    arrays = batch(net)
    expected = reference(net, *arrays, np.random.default_rng(5), precision)
    work = recorded.CapturedStep(net, cunet.SGD(net.parameters(), iter_size=2), "weights", 255)
    loss = work.accumulate(arrays, np.random.default_rng(5))
    limit = LIMITS[precision]
    assert loss == pytest.approx(expected[1], rel=limit)
    scale = float(work.fused.loss_scale.get()[0]) if precision == "float16" else 1
    for p in net.parameters():
        # where a sum lies next to zero a rounding decides whether the ReLU lets it pass
        close(p.grad.get() / scale, expected[2][p.name], 12 * limit)
    logits = net(to_device(arrays[0]), remember=False).get()
    plain = reference(net, *arrays, None, precision)[0]
    close(logits, plain, 2 * limit)


def to_device(a):
    return cunet.backend.to_device(a, "cuda")


class Own(cunet.SGD):
    """A solver that a user has written: the GPU has no kernels for it."""

    recordable = None


def trained(net, solver, arrays, steps, iter_size=1):
    """Losses of some steps, by the class that trainings use."""
    work, losses = net.engine.step(net, solver, "weights", 255), []
    for step in range(steps):
        rng = np.random.default_rng(step)
        losses.append([work.accumulate(arrays, rng) for _ in range(iter_size)])
        work.update()
    return np.array(losses), work


@pytest.mark.parametrize("solver", ["SGD", "Adam", "Own"])
@pytest.mark.parametrize("iter_size", [1, 2])
def test_a_training_follows_that_of_the_cpu(solver, iter_size, monkeypatch):
    """Some steps, the first by hand, the others replayed; with clipping, decay and dropout."""
    emulate(monkeypatch)
    settings = {"width": 8, "depth": 1, "seed": 2}
    device, host = UNet(**settings, device="cuda"), UNet(**settings)
    arrays = batch(host, 28)
    make = Own if solver == "Own" else getattr(cunet, solver)
    # Adam divides a gradient by its size, and with it what a rounding has changed
    rate = {"lr": 1e-3} if solver == "Adam" else {"lr": 0.01, "momentum": 0.9}
    options = {"weight_decay": 0.01, "clip": 0.5, "iter_size": iter_size} | rate
    solvers = [make(net.parameters(), **options) for net in (device, host)]
    there, work = trained(device, solvers[0], arrays, 4, iter_size)
    here, _ = trained(host, solvers[1], arrays, 4, iter_size)
    assert isinstance(work, recorded.CapturedStep)
    assert solvers[0].done == solvers[1].done == 4
    np.testing.assert_allclose(there, here, rtol=3e-3)
    assert here[-1].mean() < here[0].mean()  # it learns
    for p, q in zip(device.parameters(), host.parameters(), strict=True):
        if p.name.endswith("filters"):
            close(p.value.get(), q.value, 5e-3)
        assert not p.grad.get().any()


VIEWS = {
    "part": lambda a: a[:, 3:31, 5:33],
    "mirrored": lambda a: a[:, 27::-1, :28],
    "transposed": lambda a: a[:, :28, :28].transpose(0, 2, 1, 3),
    "every second": lambda a: a[:, :56:2, :56:2],
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("precision", cuda.DTYPES)
def test_images_and_gradients_may_be_views(view, precision, monkeypatch):
    xp = emulate(monkeypatch)
    net = cunet.UNet(width=8, depth=1, in_channels=2, device="cuda", precision=precision)
    whole = xp.asarray(np.random.default_rng(0).standard_normal((2, 60, 60, 2), np.float32))
    found = []
    for as_it_is in (lambda a: a, lambda a: xp.asarray(a.get().copy(order="C"))):
        for p in net.parameters():
            p.grad.fill(0)
        logits, backward = net(as_it_is(view(whole)))
        dx = backward(as_it_is(view(whole)[:, 4:16, 4:16]), input_gradient=True)
        found.append([logits.get(), dx.get(), *(p.grad.get() for p in net.parameters())])
    for a, b in zip(*found, strict=True):
        assert a.any()
        np.testing.assert_array_equal(a, b)


OTHERS = {
    "view": lambda xp, a: xp.asarray(np.repeat(a, 2, axis=-1))[..., ::2],
    "float64": lambda xp, a: xp.asarray(a.astype(np.float64)),
}


@pytest.mark.parametrize("number", [0, 1, 2, 3, 8, 9, -2, -1])  # of each kind of layer
@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_parameters_that_kernels_would_read_wrongly_are_an_error(other, number, monkeypatch):
    """As p.value = ... may make them, where weights are loaded."""
    xp = emulate(monkeypatch)
    net = cunet.UNet(width=8, depth=1, device="cuda", precision="tf32")
    p = net.parameters()[number]
    before = p.value
    p.value = other(xp, np.random.default_rng(0).standard_normal(p.value.shape, np.float32))
    x = np.zeros((1, 28, 28, 1), np.float32)
    solver = cunet.SGD(net.parameters())
    for call in (
        lambda: net(xp.asarray(x), remember=False),
        lambda: recorded.predict(net, x),
        lambda: recorded.CapturedStep(net, solver, "weights", 255),
    ):
        with pytest.raises(
            cunet.CunetError, match=r"float32 and in C's order.* use p.value\[...\]"
        ):
            call()
    p.value = before
    assert recorded.predict(net, x).shape == (1, 12, 12, 2)


def test_a_gradient_that_is_not_that_of_the_logits_is_an_error(monkeypatch):
    xp = emulate(monkeypatch)
    net = cunet.UNet(width=8, depth=1, device="cuda", precision="tf32")
    logits, backward = net(xp.zeros((1, 28, 28, 1), np.float32))
    for other in (xp.zeros(logits.shape, np.float64), xp.zeros((1, 12, 11, 2), np.float32)):
        words = (
            r"gradient of logits \(1, 12, 12, 2\) in float32|found an array of float32 \(1, 12, 11"
        )
        with pytest.raises(cunet.CunetError, match=words):
            backward(other)


def test_a_replayed_step_is_the_step_by_hand(monkeypatch):
    """Two nets of the same seed; the graph of one is forgotten before every step."""
    emulate(monkeypatch)
    ends = []
    for forget in (False, True):
        net = UNet(width=8, depth=1, seed=2, device="cuda")
        work = net.engine.step(net, cunet.SGD(net.parameters(), lr=0.01), "weights", 255)
        for step in range(4):
            x, labels, weights = batch(net, 20 + 8)
            work.accumulate((x + step, labels, weights), np.random.default_rng(step))
            work.update()
            if forget:
                work.gradient._graph = None
        ends.append([p.value.get() for p in net.parameters()])
    for a, b in zip(*ends, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("precision", cuda.DTYPES)
def test_a_step_whose_numbers_overflow_leaves_the_net_as_it_is(precision, monkeypatch):
    emulate(monkeypatch)
    net = UNet(width=8, depth=1, seed=2, device="cuda", precision=precision)
    arrays = batch(net, 28)
    work = net.engine.step(net, cunet.SGD(net.parameters(), lr=0.01), "weights", 255)
    work.accumulate(arrays, np.random.default_rng(0))
    work.update()
    before = [p.value.get() for p in net.parameters()]
    bad = arrays[0].copy()
    bad[0, 10, 10, 0] = np.nan
    assert np.isnan(work.accumulate((bad, *arrays[1:]), np.random.default_rng(1)))
    for p, old in zip(net.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.value.get(), old)


@pytest.mark.parametrize("solver", ["SGD", "Adam"])
def test_float16_finds_its_loss_scale(solver, monkeypatch):
    """Gradients that overflow under the first scale halve it until they do not."""
    emulate(monkeypatch)
    net = UNet(width=8, depth=1, seed=2, device="cuda", precision="float16")
    x, labels, weights = batch(net, 28)
    solver = getattr(cunet, solver)(net.parameters(), lr=1e-6, clip=1.0)
    work = net.engine.step(net, solver, "none", 255)  # a sum over pixels: large gradients
    first = float(work.fused.loss_scale.get()[0])
    before = [p.value.get() for p in net.parameters()]
    scales, changed = [], []
    for _ in range(20):
        assert np.isfinite(work.accumulate((x, labels, 100 * weights), np.random.default_rng(0)))
        work.update()
        scales.append(float(work.fused.loss_scale.get()[0]))
        now = [p.value.get() for p in net.parameters()]
        changed.append(any((a != b).any() for a, b in zip(now, before, strict=True)))
    assert scales[0] == first / 2 and not changed[0]
    assert scales[-1] == scales[-5] < first / 8 and changed[-1]


def test_float16_needs_a_solver_that_knows_of_its_scale(monkeypatch):
    emulate(monkeypatch)
    net = UNet(width=8, depth=1, device="cuda", precision="float16")
    with pytest.raises(cunet.CunetError, match="SGD and cunet.Adam alone"):
        recorded.CapturedStep(net, Own(net.parameters()), "weights")


@pytest.mark.parametrize("precision", cuda.DTYPES)
def test_segmentation_by_recorded_predictions(precision, monkeypatch):
    emulate(monkeypatch)
    settings = {"width": 8, "depth": 2, "seed": 1}
    device = UNet(**settings, device="cuda", precision=precision)
    host = UNet(**settings)
    image = np.random.default_rng(0).standard_normal((37, 30)).astype(np.float32)
    for average in ("none", "flips"):
        there, here = (segment.segment(image, net, 60, average) for net in (device, host))
        assert type(there) is np.ndarray and there.dtype == np.float32
        np.testing.assert_allclose(there, here, atol=5 * LIMITS[precision])
    assert len(record_of(device).predictions) == 1
    for p in device.parameters():  # what was recorded takes the weights as they are
        p.value *= 0
    np.testing.assert_array_equal(segment.segment(image, device, 60), np.float32(0.5))


def test_graphs_of_a_few_shapes_are_kept(monkeypatch):
    emulate(monkeypatch)
    net = UNet(width=8, depth=1, seed=1, device="cuda")
    for side in range(18, 32, 2):
        x = np.ones((1, side, side, 1), np.float32)
        np.testing.assert_array_equal(recorded.predict(net, x), recorded.predict(net, x))
    assert len(record_of(net).predictions) == recorded.TILE_SHAPES_KEPT


def test_what_was_recorded_is_forgotten_at_once(monkeypatch):
    """A net, its graphs and their memory hold each other; close() lets go without a search."""
    emulate(monkeypatch)
    gc.disable()
    try:
        net = UNet(width=8, depth=1, seed=1, device="cuda")
        work = net.engine.step(net, cunet.SGD(net.parameters()), "weights", 255)
        work.accumulate(batch(net, 28), np.random.default_rng(0))
        recorded.predict(net, np.ones((1, 20, 20, 1), np.float32))
        place = weakref.ref(record_of(net).place)
        work.close()
        gone = weakref.ref(net)
        del work, net
        assert place() is None and gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_a_resumed_float16_training_goes_on_with_its_scale(kind, monkeypatch, tmp_path):
    emulate(monkeypatch)
    ends = []
    for stop in (None, 2):
        net = UNet(width=8, depth=1, seed=2, device="cuda", precision="float16")
        make = partial(getattr(cunet, kind), lr=1e-4, clip=1.0)
        arrays, solver = batch(net, 28), make(net.parameters())
        heavy = (*arrays[:2], 1000 * arrays[2])
        work = net.engine.step(net, solver, "none", 255)
        for step in range(5):
            if step == stop:
                checkpoint.save(tmp_path / "last.npz", net, solver)
                header, values = checkpoint.read(tmp_path / "last.npz")
                net = checkpoint.build(tmp_path / "last.npz", header, values, "cuda", "float16")
                solver = make(net.parameters())
                checkpoint.restore(tmp_path / "last.npz", header, values, solver)
                work = net.engine.step(net, solver, "none", 255)
            work.accumulate(heavy, np.random.default_rng(step))
            work.update()
        assert solver.scaling[2] > 0  # updates were left out
        ends.append([p.value.get() for p in net.parameters()] + [np.array(solver.scaling)])
    for a, b in zip(*ends, strict=True):
        np.testing.assert_array_equal(a, b)
